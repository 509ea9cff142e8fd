/*
 * Reads a damaged store, in a process of its own, and says what it finds in frames
 * (rescue_frame.h). It writes nothing into the files.
 */
#pragma once

/* Reads the folder `dir` and writes frames to `fd`. < 0: they could not be written. */
int rescue_run(const char *dir, int fd);
