A development certificate authority that was made while the clock was ahead is made again once the clock is right.
