package tlsconf

// OpenFiles are Files that nobody watches.
func OpenFiles(cfg FilesConfig) (*Files, error) { return open(cfg) }
