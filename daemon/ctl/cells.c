/*
 * Every command that shows a list makes a second table, of strings with heads, from the one it was
 * answered with: these are the cells that several of them have.
 */
#include "ctl/cells.h"

#include "ctl/text.h"
#include "util/clock.h"

#include <inttypes.h>
#include <stdio.h>

void cells_string(struct table *to, const struct table *from, size_t row, const char *column)
{
	const char *s = table_get_string(from, row, column);

	table_string(to, s[0] ? s : "-");
}

void cells_words(struct table *to, const struct table *from, size_t row, const char *column)
{
	char text[64];

	(void)snprintf(text, sizeof(text), "%s", table_get_string(from, row, column)); /* cut */
	for (char *p = text; *p; p++)
		*p = *p == '_' ? ' ' : *p;
	table_string(to, text[0] ? text : "-");
}

void cells_count(struct table *to, const struct table *from, size_t row, const char *column)
{
	char text[24];

	(void)snprintf(text, sizeof(text), "%" PRIu64, table_get_u64(from, row, column, 0));
	table_string(to, text);
}

void cells_seq(struct table *to, const struct table *from, size_t row, const char *column)
{
	char text[TEXT_SEQ_SIZE];

	table_string(to, text_seq(table_get_u64(from, row, column, 0), text));
}

void cells_time(struct table *to, const struct table *from, size_t row, const char *column)
{
	const struct cell *time = table_cell(from, row, column);
	char text[32] = "-";

	if (time->type == CELL_I64)
		clock_format(time->i64, text);
	table_string(to, text);
}

void cells_page(struct buf *page, const struct tables *shown, const char *nothing, size_t width)
{
	if (tables_failed(shown))
		page->failed = true;
	else if (table_rows(shown->table[0]))
		text_table(page, shown->table[0], width);
	else
		buf_printf(page, "%s\n", nothing);
}
