/* What is in force, key by key, as an owner would write it, and where it was set. */
#pragma once

#include "model/config.h"

struct config_shown {
	const char *section;
	const char *name; /* of the sink, address of the device; "" where a section has none */
	const char *key;
	const char *value; /* "" is none */
	const char *file;  /* NULL: nobody set it, it is the default */
	unsigned line;
};

/* 0: go on; else it ends with that. Strings are borrowed for the call. */
typedef int (*config_show_cb)(void *userdata, const struct config_shown *shown);

/*
 * Every key there is: [features] first, then in the order of the manual, then each sink and each
 * device. No secret can be among them: tokens and keys are in files of their own, and a config that
 * has one in a value is refused. < 0: no memory.
 */
int config_show(const struct config *c, config_show_cb cb, void *userdata);
