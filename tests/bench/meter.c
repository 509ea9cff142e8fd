/*
 * Reads /proc. A program that cannot do that cannot measure: it stops with a sentence, here as in
 * everything else that a benchmark relies on.
 */
#include "meter.h"

#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>

enum { SECTOR = 512 };

static double seconds(struct timeval t)
{
	return (double)t.tv_sec + (double)t.tv_usec / 1e6;
}

static uint64_t read_field(const char *file, const char *name)
{
	uint64_t value = 0;
	char line[256];
	FILE *f = fopen(file, "re");

	if (!f)
		return 0;
	while (fgets(line, sizeof(line), f))
		if (strncmp(line, name, strlen(name)) == 0)
			value = strtoull(line + strlen(name), NULL, 10);
	(void)fclose(f); /* was only read */
	return value;
}

/* Sectors written to the whole device or partition that holds the directory. */
static uint64_t disk_bytes(const char *directory)
{
	unsigned major_, minor_;
	unsigned long long sectors, total = 0;
	char line[512];
	struct stat st;
	FILE *f;

	if (stat(directory, &st) < 0)
		return 0;
	f = fopen("/proc/diskstats", "re");
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "%u %u %*s %*u %*u %*u %*u %*u %*u %llu", &major_, &minor_,
			   &sectors) == 3 &&
		    makedev(major_, minor_) == st.st_dev)
			total = sectors;
	if (f)
		(void)fclose(f); /* was only read */
	return total * SECTOR;
}

void meter_read(const char *directory, struct meter *ret)
{
	struct rusage usage;
	struct timespec now;

	(void)getrusage(RUSAGE_SELF, &usage);	    /* only refuses bad arguments */
	(void)clock_gettime(CLOCK_MONOTONIC, &now); /* the same */
	*ret = (struct meter){
		.wall_s = (double)now.tv_sec + (double)now.tv_nsec / 1e9,
		.cpu_s = seconds(usage.ru_utime) + seconds(usage.ru_stime),
		.write_bytes = read_field("/proc/self/io", "write_bytes:"),
		.disk_bytes = disk_bytes(directory),
	};
}

void meter_since(const struct meter *from, const char *directory, struct meter *ret)
{
	struct meter now;

	meter_read(directory, &now);
	*ret = (struct meter){
		.wall_s = now.wall_s - from->wall_s,
		.cpu_s = now.cpu_s - from->cpu_s,
		.write_bytes = now.write_bytes - from->write_bytes,
		.disk_bytes = now.disk_bytes - from->disk_bytes,
	};
}

uint64_t meter_rss(void)
{
	return read_field("/proc/self/status", "VmRSS:") * 1024;
}

uint64_t meter_peak_rss(void)
{
	return read_field("/proc/self/status", "VmHWM:") * 1024;
}

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

double meter_quantile(double *values, size_t n, double q)
{
	if (n == 0)
		return 0;
	qsort(values, n, sizeof(*values), ascending);
	return values[MIN((size_t)(q * (double)n), n - 1)];
}
