"""How Ithaca gets onto a machine: the embedded platform, the command line, images and charts."""
