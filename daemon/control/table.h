/*
 * Answers as tables: a name, columns, rows of typed cells. Whatever is asked of vitald is answered
 * with a few of these, so one codec carries all of it over D-Bus and one printer shows it.
 *
 * The end of a column's name says its unit: `_wall_us` is a moment (microseconds since 1970, UTC),
 * `_us` a duration, `_bytes` a size, `_percent` a share of a hundred. Null is "not known".
 */
#pragma once

#include "util/macro.h"

#include <systemd/sd-bus.h>

/* One D-Bus signature for all answers: tables of (name, columns, rows of cells). */
#define TABLES_SIGNATURE "a(sasaav)"

enum {
	TABLE_MAX_COLUMNS = 48,
	TABLE_MAX_ROWS = 16384, /* of a message that is read; more is refused */
	TABLES_MAX = 32,
};

enum cell_type { CELL_NULL, CELL_STRING, CELL_I64, CELL_U64, CELL_DOUBLE, CELL_BOOL };

struct cell {
	enum cell_type type;
	union {
		char *string;
		int64_t i64;
		uint64_t u64;
		double real;
		bool yes;
	};
};

struct table {
	char *name;
	char **columns;
	size_t n_columns;
	struct cell *cells; /* row by row */
	size_t n_cells, capacity;
	bool failed; /* no memory: stays set, ask once at the end with tables_failed() */
};

/* Embedded; all zeroes is empty. */
struct tables {
	struct table *table[TABLES_MAX];
	size_t n;
	bool failed;
};

void tables_done(struct tables *t);

/*
 * Building: tables_add() and then a cell after the other, row by row. `columns` is a list of names
 * with spaces between. NULL (no memory) may be given to everything below, which then does nothing.
 */
struct table *tables_add(struct tables *t, const char *name, const char *columns);
void table_null(struct table *t);
void table_string(struct table *t, const char *s); /* NULL: null. Not UTF-8: repaired */
void table_i64(struct table *t, int64_t v);
void table_u64(struct table *t, uint64_t v);
void table_double(struct table *t, double v);
void table_bool(struct table *t, bool v);
/* A copy in which each byte that is not UTF-8 is U+FFFD; NULL: no memory. */
char *table_utf8(const char *s);
/* Something could not be built, or a row is not full. */
bool tables_failed(const struct tables *t);

/* Reading. Never NULL pointers in: a table that is not there has no rows. */
const struct table *tables_find(const struct tables *t, const char *name);
size_t table_rows(const struct table *t);
/* Of a row and a column that there is none of, the null cell. */
const struct cell *table_cell(const struct table *t, size_t row, const char *column);
const char *table_get_string(const struct table *t, size_t row, const char *column); /* "" */
uint64_t table_get_u64(const struct table *t, size_t row, const char *column, uint64_t otherwise);

/* Appends to a message, reads from one. TABLES_E_MALFORMED: not what is described above. */
enum tables_error { TABLES_E_MALFORMED = 1 };
int tables_append(sd_bus_message *m, const struct tables *t);
int tables_read(sd_bus_message *m, struct tables *ret);
