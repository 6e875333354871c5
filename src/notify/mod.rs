//! From transitions to messages: decide, render, deliver. Never on the probing path.
