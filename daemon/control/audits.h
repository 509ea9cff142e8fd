/* Audits that callers on the bus asked for, made between the other work of the loop. */
#pragma once

#include "control/bus.h"

#include <systemd/sd-bus.h>

struct audits;

struct audits *audits_free(struct audits *a);
/* Copies `handler`; its store() is asked anew for each audit. */
int audits_new(sd_event *event, const struct control_handler *handler, struct audits **ret);
/* Answers `m` when it is done; what to return from the method's handler. */
int audits_join(struct audits *a, sd_bus_message *m);
/* Answers `m` with tables. */
int audits_reply(sd_bus_message *m, const struct tables *t);
