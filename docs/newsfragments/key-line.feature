Full screen: whenever the focus moves there is less to draw; keys that have no room at the bottom are left out whole, not cut.
