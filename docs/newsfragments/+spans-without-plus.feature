Spans are read without the plus sign, too: `2h`, `3d` and `1w` are `+2h`, `+3d` and `+1w`, for sending later and for `snooze`.
