Outbound: bounces are standard reports (RFC 3464) that begin with a text in plain words; NOTIFY, RET, ENVID and ORCPT are obeyed (RFC 3461).
