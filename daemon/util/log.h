/*
 * The one door to the journal. Only rooms that own an event source log (source, upload, control,
 * daemon.c); the others return. On a terminal or in a pipe the same lines go to stderr.
 */
#pragma once

#include "util/macro.h"

#include <syslog.h>

enum log_target { LOG_TARGET_AUTO, LOG_TARGET_JOURNAL, LOG_TARGET_STDERR };

/* Fields of the journal entry, "KEY=value", ended by NULL; see systemd.journal-fields(7). */
#define LOG_FIELDS(...) ((const char *const[]){__VA_ARGS__, NULL})

void log_init(enum log_target target, int max_level);
/* message_id: 32 hexadecimal digits of model/catalog.h, or NULL. fields: LOG_FIELDS() or NULL. */
void log_event(int level, const char *message_id, const char *const *fields, const char *format,
	       ...) _printf_(4, 5);

#define log_debug(...)	 log_event(LOG_DEBUG, NULL, NULL, __VA_ARGS__)
#define log_info(...)	 log_event(LOG_INFO, NULL, NULL, __VA_ARGS__)
#define log_notice(...)	 log_event(LOG_NOTICE, NULL, NULL, __VA_ARGS__)
#define log_warning(...) log_event(LOG_WARNING, NULL, NULL, __VA_ARGS__)
#define log_error(...)	 log_event(LOG_ERR, NULL, NULL, __VA_ARGS__)
