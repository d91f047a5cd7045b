//! Target groups from static lists and watched files.
