A route with a login implies `tls = "verified"`: a host without a valid certificate for its name gets
neither the password nor mail, also with `tls = "required"`. `certificate_fingerprint` in a route, or
`route set --certificate-fingerprint`, pins the certificate of a host that has signed it itself.
`config check` and `route set` say what a login implies.
