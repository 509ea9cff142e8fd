/*
 * The values an owner writes: "250ms", "2G", "yes", "https://...". Each takes the whole text or
 * refuses it; nothing is guessed. False: not such a value, nothing was touched.
 */
#pragma once

#include "model/frame.h"

/* "250ms" "10s" "2min" "1h" "7d"; a bare number is seconds. At most 100 years. */
bool value_duration(const char *s, usec_t *ret);
/* "4096" "256K" "4M" "2G" "1T", in steps of 1024. */
bool value_size(const char *s, uint64_t *ret);
/* yes no true false on off */
bool value_boolean(const char *s, bool *ret);
/* "A0:B1:C2:D3:E4:F5" -> lower case. */
bool value_address(const char *s, char ret[static DEVICE_ADDRESS_SIZE]);

/*
 * How a URL falls short, in the words of a mistake; NULL when it is one we may send health data to.
 */
const char *value_url_problem(const char *s);
/* Is it this machine itself, which can be asked without any network? */
bool value_url_is_here(const char *s);
const char *value_proxy_problem(const char *s);
