//! Agents as data: prompt to command line, output to events and a verdict.
