//! Processes that outlive Drover: the shim, adoption, ending every descendant.
