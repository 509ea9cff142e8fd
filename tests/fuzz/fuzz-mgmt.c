/* Whatever the kernel says about adapters, in any order and at any time: no harm, no endless asking. */
#include "source/mgmt.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void on_send(void *userdata, const uint8_t *data, size_t size)
{
	if (size < 6 || size > 7)
		__builtin_trap();
	++*(unsigned *)userdata;
}

static void on_changed(void *userdata)
{
}

/* Each message: u8 seconds that pass, u8 size, bytes. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned n_sent = 0, n = 0;
	const struct mgmt_handler handler = {&n_sent, on_send, on_changed};
	usec_t now = USEC_PER_SEC;
	struct mgmt *m;

	if (mgmt_new(size & 1 ? "hci0" : NULL, &handler, &m) != 0)
		__builtin_trap();
	for (size_t at = 0; at + 2 <= size; n++) {
		size_t length = MIN((size_t)data[at + 1], size - at - 2);

		now += data[at] * USEC_PER_SEC;
		mgmt_tick(m, now);
		mgmt_receive(m, data + at + 2, length, now);
		at += 2 + length;
		if (mgmt_ready(m) != (mgmt_due(m) == USEC_INFINITY))
			__builtin_trap(); /* it sleeps when all is well, and only then */
	}
	if (n_sent > 2 * n)
		__builtin_trap();
	mgmt_free(m);
	return 0;
}
