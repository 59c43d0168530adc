The limit of the header section can be configured (``max_header_size`` in ``[smtp]``, 256 KiB by default). ``user quota`` and ``domain quota`` say that there is no limit if the size is 0 or ``none``.
