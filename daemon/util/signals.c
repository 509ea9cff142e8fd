/*
 * sd-event reads signals from a signalfd(2), which has only what is blocked: one that comes before
 * that ends the process, as always.
 */
#include "util/signals.h"

#include <errno.h>
#include <signal.h>

int signals_watch(sd_event *event, const int *signals, size_t n, sd_event_signal_handler_t handler,
		  void *userdata)
{
	int r = 0;

	for (size_t i = 0; r >= 0 && i < n; i++) {
		sigset_t set;

		if (sigemptyset(&set) < 0 || sigaddset(&set, signals[i]) < 0 ||
		    sigprocmask(SIG_BLOCK, &set, NULL) < 0)
			return -errno;
		r = sd_event_add_signal(event, NULL, signals[i], handler, userdata);
	}
	return r < 0 ? r : 0;
}
