/*
 * Lines for a person, "what: value". Nothing in them names the machine: no host name, no machine-id,
 * no serial number (so not /proc/cpuinfo nor /proc/cmdline).
 */
#include "ctl/facts.h"

#include "util/clock.h"
#include "util/file.h"
#include "util/human.h"

#include <dirent.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>

enum { FILE_MAX = 4096, MOUNTS_MAX = 1 << 20, ADAPTERS_MAX = 16 };

/* The first `n_lines` of a file, behind its heading. */
static void put_file(const char *heading, const char *path, size_t n_lines, struct buf *ret)
{
	struct buf text = {0};
	int r = file_read(path, FILE_MAX, &text);
	size_t n = 0;

	for (size_t lines = 0; r >= 0 && n < text.size && lines < n_lines; n++)
		lines += text.data[n] == '\n';
	buf_printf(ret, "%s:%s", heading, n_lines > 1 ? "\n" : " ");
	if (r < 0)
		buf_printf(ret, "%s: %s\n", path, strerror(-r));
	else
		buf_append(ret, text.data, n);
	buf_done(&text);
}

static void put_kernel(struct buf *ret)
{
	struct utsname u;

	if (uname(&u) == 0)
		buf_printf(ret, "kernel: %s %s %s %s\n", u.sysname, u.release, u.version,
			   u.machine);
}

static void put_clock(struct buf *ret)
{
	struct clock_state c = clock_read(CLOCK_TRUST_AUTO);
	char now[32], up[HUMAN_SIZE];

	clock_format(clock_wall_usec(), now);
	buf_printf(ret, "clock: %s, %s, error %" PRId64 " us\n", now,
		   c.synchronised ? "synchronised" : "not synchronised", c.error_us);
	buf_printf(ret, "up: %s\n", human_duration(clock_boot_usec(), up));
}

/* Is this the folder itself, or one above it? */
static bool is_above(const char *mount, size_t size, const char *path)
{
	if (size == 1 && *mount == '/')
		return true;
	return strncmp(mount, path, size) == 0 && (path[size] == '/' || !path[size]);
}

/* The line of /proc/self/mounts that counts for a path: of the longest mount point, the last. */
static void put_mount(const char *path, struct buf *ret)
{
	struct buf mounts = {0};
	char *real = realpath(path, NULL);
	const char *best = NULL;
	size_t best_size = 0;

	if (file_read("/proc/self/mounts", MOUNTS_MAX, &mounts) < 0)
		mounts.failed = true;
	buf_u8(&mounts, 0);
	for (const char *line = mounts.failed ? "" : (const char *)mounts.data; *line && real;) {
		const char *mount = line + strcspn(line, " \n");
		size_t size;

		mount += *mount == ' ';
		size = strcspn(mount, " \n");
		if (size >= best_size && is_above(mount, size, real)) {
			best = line;
			best_size = size;
		}
		line += strcspn(line, "\n");
		line += *line == '\n';
	}
	if (best)
		buf_printf(ret, "state directory is on: %.*s\n", (int)strcspn(best, "\n"), best);
	free(real);
	buf_done(&mounts);
}

static void put_card(const char *path, struct buf *ret)
{
	char free_bytes[HUMAN_SIZE], size[HUMAN_SIZE];
	struct statvfs v;

	if (statvfs(path, &v) < 0) {
		buf_printf(ret, "state directory: %s: %s\n", path, strerror(errno));
		return;
	}
	buf_printf(ret,
		   "state directory: %s, %s of %s free, %" PRIu64 " of %" PRIu64 " files free\n",
		   path, human_size((uint64_t)v.f_bavail * v.f_frsize, free_bytes),
		   human_size((uint64_t)v.f_blocks * v.f_frsize, size), (uint64_t)v.f_favail,
		   (uint64_t)v.f_files);
	put_mount(path, ret);
}

/* One value of each entry of a folder in /sys; a connection (hci0:64) is none. */
static void put_entries(const char *dir, const char *const *values, struct buf *ret)
{
	DIR *d = opendir(dir);
	unsigned n = 0;

	for (struct dirent *e; d && n < ADAPTERS_MAX && (e = readdir(d));) {
		if (e->d_name[0] == '.' || strchr(e->d_name, ':'))
			continue;
		n++;
		buf_printf(ret, "%s/%s\n", dir, e->d_name);
		for (size_t i = 0; values[i]; i++) {
			char path[PATH_MAX], heading[40];

			(void)snprintf(path, sizeof(path), "%s/%s/%s", dir, e->d_name, values[i]);
			(void)snprintf(heading, sizeof(heading), "  %s", values[i]); /* fits */
			put_file(heading, path, 1, ret);
		}
	}
	if (!n)
		buf_printf(ret, "%s: none\n", dir);
	if (d)
		(void)closedir(d); /* only read from */
}

void facts_put(const char *state_dir, struct buf *ret)
{
	put_kernel(ret);
	put_clock(ret);
	put_file("load", "/proc/loadavg", 1, ret);
	put_file("memory", "/proc/meminfo", 3, ret);
	put_card(state_dir, ret);
	put_entries("/sys/class/bluetooth", (const char *const[]){"device/modalias", NULL}, ret);
	put_entries("/sys/class/rfkill", (const char *const[]){"type", "soft", "hard", NULL}, ret);
	put_file("system", "/etc/os-release", 64, ret);
}
