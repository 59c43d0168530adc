In the full screen, an answer begins below the text that it quotes and above the signature. Tab completes
the path of a file to attach, and a path that failed is offered again.
