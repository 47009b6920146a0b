"""What we are compared with, where it is not simply a class of a library."""
