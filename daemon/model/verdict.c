/* Verdicts: their words, and giving back the memory of a receipt. */
#include "model/verdict.h"

const char *verdict_class_name(enum verdict_class c)
{
	static const char *const names[] = {
		[VERDICT_RECEIPT] = "receipt",	 [VERDICT_TRANSIENT] = "transient",
		[VERDICT_BUSY] = "busy",	 [VERDICT_ACCOUNT] = "account",
		[VERDICT_TOKEN] = "token",	 [VERDICT_CLOCK] = "clock",
		[VERDICT_RECORD] = "record",	 [VERDICT_TOO_LARGE] = "too_large",
		[VERDICT_ENCODING] = "encoding",
	};

	return names[c];
}

void verdict_done(struct verdict *v)
{
	for (size_t i = 0; i < v->n_entries; i++)
		free(v->entries[i].rejected);
	free(v->entries);
	*v = (struct verdict){0};
}
