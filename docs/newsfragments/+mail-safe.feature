Mail client: text of others cannot control the terminal; reading a message opens no network connection.
