Templates of messages: `emailsys mail template write`, `compose --template NAME --set FIELD=VALUE`, and `F5` in the
composer. Fields such as `{name}` are filled in. `F7` in the composer sets the moment of sending.
