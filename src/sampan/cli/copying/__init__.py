"""`cp`'s halves on this side: which paths are meant, a tar of local files, local files of a tar."""
