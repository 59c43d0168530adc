Terminals with the graphics of kitty or with sixels show the pictures of a message, if the extra `pictures` is
installed: below the line in which the HTML has them, or else below the text. Nothing is loaded from the network, and a
picture of a giant size is not decoded.
