What had to be guessed in a message is listed as a defect, with what it was read as: dates, addresses, ids,
encoded words, parameters, charsets and boundaries. What is not used is named: a second From field,
malformed addresses. An address with a name in front and no brackets is no longer joined with that name.
