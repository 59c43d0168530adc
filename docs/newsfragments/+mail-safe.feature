Mail client: text in a message cannot control the terminal; reading a message opens no network connection.
