Your own Python code checks received mail: packages found by entry points or ``twisted.plugin`` are named in ``[checks]``
and accept, refuse, defer, quarantine, mark or redirect mail (``docs/extending.md``). Policy servers of Postfix, such as
postgrey, work without any code.
