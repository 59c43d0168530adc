The index of the mail client takes less than half of the space, and imports are faster. It is rebuilt once, when
the store is next opened.
