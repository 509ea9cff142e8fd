/*
 * Tables: the one form of every answer, and its form on the bus.
 *
 *     a           tables
 *      (s         name
 *       as        columns
 *       aav)      rows, each as many variants as there are columns
 *
 *     cell        variant        cell        variant
 *     string      s              double      d
 *     i64         x              bool        b
 *     u64         t              null        g ""   (D-Bus has no null; an empty signature is the
 *                                                    one value that nothing else here can be)
 *
 * Building never fails half-way: no memory marks the table, whoever sends it asks once. D-Bus
 * accepts valid UTF-8 only and a wearable may call itself anything, so strings are repaired where
 * they enter. Reading trusts nothing: counts are bounded and each row must be exactly as wide as
 * its table.
 */
#include "control/table.h"

#include "util/array.h"
#include "util/buf.h"
#include "util/utf8.h"

static void cell_done(struct cell *c)
{
	if (c->type == CELL_STRING)
		free(c->string);
}

static struct table *table_free(struct table *t)
{
	if (!t)
		return NULL;
	for (size_t i = 0; i < t->n_cells; i++)
		cell_done(&t->cells[i]);
	free(t->cells);
	for (size_t i = 0; i < t->n_columns; i++)
		free(t->columns[i]);
	free(t->columns);
	free(t->name);
	free(t);
	return NULL;
}
DEFINE_CLEANUP(struct table *, table_free)

void tables_done(struct tables *t)
{
	for (size_t i = 0; i < t->n; i++)
		(void)table_free(t->table[i]);
	*t = (struct tables){0};
}

static int add_column(struct table *t, const char *name, size_t size)
{
	if (t->n_columns == TABLE_MAX_COLUMNS)
		return -E2BIG;
	t->columns[t->n_columns] = strndup(name, size);
	if (!t->columns[t->n_columns])
		return -ENOMEM;
	t->n_columns++;
	return 0;
}

static int table_new(const char *name, struct table **ret)
{
	_cleanup_(table_freep) struct table *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	t->columns = calloc(TABLE_MAX_COLUMNS, sizeof(*t->columns));
	t->name = strdup(name);
	if (!t->columns || !t->name)
		return -ENOMEM;
	*ret = TAKE(t);
	return 0;
}

struct table *tables_add(struct tables *t, const char *name, const char *columns)
{
	_cleanup_(table_freep) struct table *table = NULL;

	t->failed = t->failed || t->n == TABLES_MAX || table_new(name, &table) < 0;
	while (!t->failed && *columns) {
		size_t size = strcspn(columns, " ");

		if (add_column(table, columns, size) < 0)
			t->failed = true;
		columns += size + strspn(columns + size, " ");
	}
	if (t->failed)
		return NULL;
	t->table[t->n++] = table;
	return TAKE(table);
}

static void add_cell(struct table *t, struct cell cell)
{
	struct cell *cells;

	if (!t)
		return;
	cells = array_reserve(t->cells, sizeof(*cells), t->n_cells + 1, &t->capacity);
	if (cells)
		t->cells = cells;
	t->failed = t->failed || !cells;
	if (t->failed)
		cell_done(&cell);
	else
		t->cells[t->n_cells++] = cell;
}

void table_null(struct table *t)
{
	add_cell(t, (struct cell){.type = CELL_NULL});
}

void table_i64(struct table *t, int64_t v)
{
	add_cell(t, (struct cell){.type = CELL_I64, .i64 = v});
}

void table_u64(struct table *t, uint64_t v)
{
	add_cell(t, (struct cell){.type = CELL_U64, .u64 = v});
}

void table_double(struct table *t, double v)
{
	add_cell(t, (struct cell){.type = CELL_DOUBLE, .real = v});
}

void table_bool(struct table *t, bool v)
{
	add_cell(t, (struct cell){.type = CELL_BOOL, .yes = v});
}

char *table_utf8(const char *s)
{
	const uint8_t *p = (const uint8_t *)s;
	size_t size = strlen(s);
	struct buf b = {0};
	uint32_t code;

	while (size) {
		size_t n = utf8_character(p, size, &code);

		if (n)
			buf_append(&b, p, n);
		else
			buf_string(&b, "\xef\xbf\xbd"); /* U+FFFD */
		n = n ? n : 1;
		p += n;
		size -= n;
	}
	buf_u8(&b, 0);
	if (b.failed)
		buf_done(&b);
	return (char *)b.data;
}

void table_string(struct table *t, const char *s)
{
	struct cell cell = {.type = CELL_STRING};

	if (!t)
		return;
	if (!s) {
		table_null(t);
		return;
	}
	cell.string = table_utf8(s);
	if (cell.string)
		add_cell(t, cell);
	else
		t->failed = true;
}

bool tables_failed(const struct tables *t)
{
	bool failed = t->failed;

	for (size_t i = 0; i < t->n; i++)
		failed = failed || t->table[i]->failed ||
			 t->table[i]->n_cells != table_rows(t->table[i]) * t->table[i]->n_columns;
	return failed;
}

const struct table *tables_find(const struct tables *t, const char *name)
{
	static const struct table none;

	for (size_t i = 0; i < t->n; i++)
		if (streq(t->table[i]->name, name))
			return t->table[i];
	return &none;
}

size_t table_rows(const struct table *t)
{
	return t->n_columns ? t->n_cells / t->n_columns : 0;
}

const struct cell *table_cell(const struct table *t, size_t row, const char *column)
{
	static const struct cell null = {.type = CELL_NULL};

	for (size_t i = 0; i < t->n_columns && row < table_rows(t); i++)
		if (streq(t->columns[i], column))
			return &t->cells[row * t->n_columns + i];
	return &null;
}

const char *table_get_string(const struct table *t, size_t row, const char *column)
{
	const struct cell *c = table_cell(t, row, column);

	return c->type == CELL_STRING ? c->string : "";
}

uint64_t table_get_u64(const struct table *t, size_t row, const char *column, uint64_t otherwise)
{
	const struct cell *c = table_cell(t, row, column);

	if (c->type == CELL_U64)
		return c->u64;
	if (c->type == CELL_I64 && c->i64 >= 0)
		return (uint64_t)c->i64;
	if (c->type == CELL_BOOL)
		return c->yes;
	return otherwise;
}

static int append_cell(sd_bus_message *m, const struct cell *c)
{
	switch (c->type) {
	case CELL_STRING: return sd_bus_message_append(m, "v", "s", c->string);
	case CELL_I64: return sd_bus_message_append(m, "v", "x", c->i64);
	case CELL_U64: return sd_bus_message_append(m, "v", "t", c->u64);
	case CELL_DOUBLE: return sd_bus_message_append(m, "v", "d", c->real);
	case CELL_BOOL: return sd_bus_message_append(m, "v", "b", (int)c->yes);
	case CELL_NULL: break;
	}
	return sd_bus_message_append(m, "v", "g", "");
}

static int append_rows(sd_bus_message *m, const struct table *t)
{
	int r = sd_bus_message_open_container(m, 'a', "av");

	for (size_t i = 0; r >= 0 && t->n_columns && i < t->n_cells; i++) {
		if (i % t->n_columns == 0)
			r = sd_bus_message_open_container(m, 'a', "v");
		if (r >= 0)
			r = append_cell(m, &t->cells[i]);
		if (r >= 0 && (i + 1) % t->n_columns == 0)
			r = sd_bus_message_close_container(m);
	}
	return r < 0 ? r : sd_bus_message_close_container(m);
}

static int append_table(sd_bus_message *m, const struct table *t)
{
	int r = sd_bus_message_open_container(m, 'r', "sasaav");

	if (r >= 0)
		r = sd_bus_message_append(m, "s", t->name);
	if (r >= 0)
		r = sd_bus_message_open_container(m, 'a', "s");
	for (size_t i = 0; r >= 0 && i < t->n_columns; i++)
		r = sd_bus_message_append(m, "s", t->columns[i]);
	if (r >= 0)
		r = sd_bus_message_close_container(m);
	if (r >= 0)
		r = append_rows(m, t);
	return r < 0 ? r : sd_bus_message_close_container(m);
}

int tables_append(sd_bus_message *m, const struct tables *t)
{
	int r;

	if (tables_failed(t))
		return -ENOMEM;
	r = sd_bus_message_open_container(m, 'a', "(sasaav)");
	for (size_t i = 0; r >= 0 && i < t->n; i++)
		r = append_table(m, t->table[i]);
	if (r >= 0)
		r = sd_bus_message_close_container(m);
	return r < 0 ? r : 0;
}

static int read_variant(sd_bus_message *m, char type, struct table *t)
{
	union {
		const char *s;
		int64_t x;
		uint64_t t;
		double d;
		int b;
	} v;
	int r = sd_bus_message_read_basic(m, type, &v);

	if (r <= 0)
		return r < 0 ? r : TABLES_E_MALFORMED;
	switch (type) {
	case 's': table_string(t, v.s); break;
	case 'x': table_i64(t, v.x); break;
	case 't': table_u64(t, v.t); break;
	case 'd': table_double(t, v.d); break;
	case 'b': table_bool(t, v.b); break;
	default: table_null(t);
	}
	return 0;
}

static int leave(sd_bus_message *m)
{
	int r = sd_bus_message_exit_container(m);

	return r < 0 ? r : 0;
}

static int enter(sd_bus_message *m, char type, const char *contents)
{
	int r = sd_bus_message_enter_container(m, type, contents);

	return r < 0 ? r : r > 0 ? 0 : TABLES_E_MALFORMED;
}

static int read_cell(sd_bus_message *m, struct table *t)
{
	const char *contents;
	char type;
	int r = sd_bus_message_peek_type(m, &type, &contents);

	if (r < 0)
		return r;
	if (r == 0 || type != 'v' || !contents || strlen(contents) != 1 ||
	    !strchr("sxtdbg", contents[0]))
		return TABLES_E_MALFORMED;
	type = contents[0];
	r = enter(m, 'v', contents);
	if (r == 0)
		r = read_variant(m, type, t);
	return r ? r : leave(m);
}

static int read_row(sd_bus_message *m, struct table *t)
{
	int r = 0;

	if (table_rows(t) >= TABLE_MAX_ROWS || t->n_columns == 0)
		return TABLES_E_MALFORMED;
	for (size_t i = 0; r == 0 && i < t->n_columns; i++)
		r = read_cell(m, t);
	if (r == 0 && !sd_bus_message_at_end(m, 0))
		r = TABLES_E_MALFORMED;
	return r ? r : leave(m);
}

static int read_rows(sd_bus_message *m, struct table *t)
{
	int r = enter(m, 'a', "av");

	while (r == 0 && !sd_bus_message_at_end(m, 0)) {
		r = enter(m, 'a', "v");
		if (r == 0)
			r = read_row(m, t);
	}
	return r ? r : leave(m);
}

static int read_columns(sd_bus_message *m, struct table *t)
{
	int r = enter(m, 'a', "s");

	while (r == 0 && !sd_bus_message_at_end(m, 0)) {
		const char *column;

		r = sd_bus_message_read_basic(m, 's', &column);
		if (r >= 0)
			r = add_column(t, column, strlen(column));
		if (r == -E2BIG)
			r = TABLES_E_MALFORMED;
	}
	return r ? r : leave(m);
}

static int read_table(sd_bus_message *m, struct tables *ret)
{
	struct table *t = NULL;
	const char *name;
	int r = enter(m, 'r', "sasaav");

	if (r)
		return r;
	r = sd_bus_message_read_basic(m, 's', &name);
	if (r < 0)
		return r;
	if (ret->n == TABLES_MAX)
		return TABLES_E_MALFORMED;
	t = tables_add(ret, name, "");
	if (!t)
		return -ENOMEM;
	r = read_columns(m, t);
	if (r == 0)
		r = read_rows(m, t);
	return r ? r : leave(m);
}

int tables_read(sd_bus_message *m, struct tables *ret)
{
	_cleanup_(tables_done) struct tables t = {0};
	int r;

	if (!sd_bus_message_has_signature(m, TABLES_SIGNATURE))
		return TABLES_E_MALFORMED;
	r = enter(m, 'a', "(sasaav)");
	while (r == 0 && !sd_bus_message_at_end(m, 0))
		r = read_table(m, &t);
	if (r == 0)
		r = leave(m);
	if (r == 0 && tables_failed(&t))
		r = -ENOMEM;
	if (r)
		return r;
	*ret = t;
	t = (struct tables){0};
	return 0;
}
