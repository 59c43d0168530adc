``smtp.trusted_may_submit`` lets the hosts of ``routing.trusted_networks`` send on the submission ports without a login.
