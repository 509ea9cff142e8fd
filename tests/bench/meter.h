/*
 * What a process has used so far, and the differences: processor, bytes that it made the kernel
 * write, bytes that the disk under a directory was given (by everybody), memory.
 */
#pragma once

#include "util/macro.h"

struct meter {
	double wall_s, cpu_s;
	uint64_t write_bytes; /* /proc/self/io */
	uint64_t disk_bytes;  /* /proc/diskstats; other processes count too */
};

void meter_read(const char *directory, struct meter *ret);
/* What was used from `from` to now. */
void meter_since(const struct meter *from, const char *directory, struct meter *ret);
/* Bytes resident now; and at most, ever. */
uint64_t meter_rss(void);
uint64_t meter_peak_rss(void);
/* The q-th quantile of n values, which are sorted by this. */
double meter_quantile(double *values, size_t n, double q);
