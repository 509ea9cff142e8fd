/* Signals as events of the loop. */
#pragma once

#include "util/macro.h"

#include <systemd/sd-event.h>

/* Blocks them for the process and its threads to come, and hands each that arrives to `handler`. < 0: -errno. */
int signals_watch(sd_event *event, const int *signals, size_t n, sd_event_signal_handler_t handler,
		  void *userdata);
