Mail client: S/MIME signatures are verified by the openssl of the system, with the CAs that it trusts.
