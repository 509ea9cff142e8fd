/*
 * Lines for the person who reads `journalctl -u vitald`. Under systemd (JOURNAL_STREAM names our
 * stderr) entries go to the journal with their fields; elsewhere the sentence alone goes to stderr.
 * Nothing here ever blocks the daemon: sd_journal_sendv() is a datagram, and a failure to log is
 * dropped, because there is nowhere left to report it.
 */
#include "util/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <systemd/sd-journal.h>
#include <unistd.h>

enum { MAX_FIELDS = 12, MAX_LINE = 2048 };

static bool to_journal;
static int max_level_ = LOG_INFO;

static bool stderr_is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long dev, ino;
	struct stat st;

	return stream && sscanf(stream, "%llu:%llu", &dev, &ino) == 2 &&
	       fstat(STDERR_FILENO, &st) == 0 && st.st_dev == dev && st.st_ino == ino;
}

void log_init(enum log_target target, int max_level)
{
	to_journal =
		target == LOG_TARGET_JOURNAL || (target == LOG_TARGET_AUTO && stderr_is_journal());
	max_level_ = max_level;
}

static void send_journal(int level, const char *message_id, const char *const *fields,
			 const char *line)
{
	char priority[16], id[64], message[MAX_LINE + 16];
	struct iovec iov[MAX_FIELDS + 4];
	int n = 0;

	(void)snprintf(priority, sizeof(priority), "PRIORITY=%d", level);
	(void)snprintf(message, sizeof(message), "MESSAGE=%s", line);
	iov[n++] = (struct iovec){priority, strlen(priority)};
	iov[n++] = (struct iovec){message, strlen(message)};
	if (message_id) {
		(void)snprintf(id, sizeof(id), "MESSAGE_ID=%s", message_id);
		iov[n++] = (struct iovec){id, strlen(id)};
	}
	for (size_t i = 0; fields && fields[i] && i < MAX_FIELDS; i++)
		iov[n++] = (struct iovec){(void *)fields[i], strlen(fields[i])};
	(void)sd_journal_sendv(iov, n); /* nowhere to say that saying failed */
}

void log_event(int level, const char *message_id, const char *const *fields, const char *format,
	       ...)
{
	static const char *const names[] = {"emerg",   "alert",	 "crit", "error",
					    "warning", "notice", "info", "debug"};
	char line[MAX_LINE];
	int saved_errno = errno;
	va_list ap;

	if (level > max_level_)
		return;
	va_start(ap, format);
	(void)vsnprintf(line, sizeof(line), format, ap); /* a longer line is cut */
	va_end(ap);
	if (to_journal)
		send_journal(level, message_id, fields, line);
	else
		(void)fprintf(stderr, "vitald: %s: %s\n", names[level & 7], line);
	errno = saved_errno;
}
