/*
 * Ten thousand rows may wait, and each step of each route asks which is due. So every row is in four
 * binary trees: of its sink and stream in the order in which they go, in the order in which they
 * take turns, and by seq; and of all rows by number. A node knows when the earliest row at or below
 * it is due, so the first row that is due is found from above without a look at one that is not:
 *
 *	           [due 7, earliest 0]
 *	          /                   \
 *	[due 9, earliest 9]   [due 3, earliest 0]      now 4: right, for the left has nothing; then
 *	                       /                       left again, and it is the row that is due at 0
 *	             [due 0, earliest 0]
 *
 * What a row is sorted by may change at any time, and then it is taken out by its links, never by its
 * fields, and put in anew: nothing here has to know what they were.
 *
 * They are treaps: every node's weight is above its children's, and weights are as good as random,
 * a hash of the row's number, so that they stay shallow whatever comes in which order. Nobody
 * outside chooses numbers. Links are places in s->rows, which may be moved in memory; the roots of a
 * stream lie with its cursor. Whoever copies rows and cursors together copies the trees.
 */
#include "store/row_index.h"

static struct row_entry *at_place(const struct store *s, uint32_t place)
{
	assert(place >= 1 && place <= s->n_rows);
	if (s->row_looks)
		++*s->row_looks;
	return &s->rows[place - 1];
}

static uint32_t place_of(const struct store *s, const struct row_entry *entry)
{
	return (uint32_t)(entry - s->rows) + 1;
}

static uint32_t *root_of(struct store *s, enum row_order order, const struct batch_row *row)
{
	return order == ROWS_BY_NUMBER ? &s->row_numbers
				       : &cursor_of(s, row->sink, row->stream)->rows[order];
}

/* --- orders --- */

static bool is_more_urgent(const struct store *s, const struct batch_row *a,
			   const struct batch_row *b)
{
	unsigned kind_a = stream_of(s, a->stream)->info.kind;
	unsigned kind_b = stream_of(s, b->stream)->info.kind;

	if (row_is_suspect(a) != row_is_suspect(b))
		return row_is_suspect(b);
	if (a->priority != b->priority)
		return a->priority > b->priority;
	if (kind_a != kind_b)
		return kind_a < kind_b;
	return a->first_id < b->first_id;
}

bool row_index_before(const struct store *s, enum row_order order, const struct batch_row *a,
		      const struct batch_row *b)
{
	switch (order) {
	case ROWS_BY_TURN: /* what failed least first */
		if (a->retry_count != b->retry_count)
			return a->retry_count < b->retry_count;
		return is_more_urgent(s, a, b);
	case ROWS_BY_URGENCY: return is_more_urgent(s, a, b);
	case ROWS_BY_SEQ: return a->first_seq < b->first_seq;
	default: return a->number < b->number;
	}
}

/* No two rows are alike here. */
static bool stands_before(const struct store *s, enum row_order order, const struct batch_row *a,
			  const struct batch_row *b)
{
	if (row_index_before(s, order, a, b))
		return true;
	return !row_index_before(s, order, b, a) && a->number < b->number;
}

/* --- trees --- */

/* Of splitmix64: numbers that follow each other have nothing in common. */
static uint64_t weight_of(const struct row_entry *entry)
{
	uint64_t x = (uint64_t)entry->row.number + 0x9e3779b97f4a7c15;

	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
	x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
	return x ^ (x >> 31);
}

static usec_t due_of(const struct batch_row *row)
{
	return row->status == BATCH_UPLOADING ? USEC_INFINITY : row->next_attempt;
}

static bool is_due(usec_t due, usec_t now)
{
	return due <= now && due < USEC_INFINITY;
}

static usec_t earliest_below(const struct store *s, enum row_order order, uint32_t place)
{
	return place ? at_place(s, place)->links[order].due : USEC_INFINITY;
}

/* True: the earliest at or below this node is another now. */
static bool refresh(const struct store *s, enum row_order order, struct row_entry *entry)
{
	struct row_link *l = &entry->links[order];
	usec_t due = due_of(&entry->row), was = l->due, left, right;

	if (order >= ROWS_WITHOUT_DUE)
		return false;
	left = earliest_below(s, order, l->left);
	right = earliest_below(s, order, l->right);
	l->due = MIN(due, MIN(left, right));
	return l->due != was;
}

/* From a node upwards, as far as it matters. */
static void refresh_from(const struct store *s, enum row_order order, uint32_t place)
{
	while (place) {
		struct row_entry *entry = at_place(s, place);

		place = refresh(s, order, entry) ? entry->links[order].up : 0;
	}
}

/* Whatever pointed down to `old` points to `new` now. */
static void point_to(struct store *s, enum row_order order, uint32_t *root, uint32_t up,
		     uint32_t old, uint32_t new)
{
	struct row_link *l = up ? &at_place(s, up)->links[order] : NULL;

	if (!l)
		*root = new;
	else if (l->left == old)
		l->left = new;
	else
		l->right = new;
}

/*
 * Changes places with the node above.
 *
 *	      p            x
 *	     / \          / \
 *	    x   c  <->   a   p
 *	   / \              / \
 *	  a   b            b   c
 */
static void lift(struct store *s, enum row_order order, uint32_t *root, uint32_t place)
{
	struct row_entry *entry = at_place(s, place), *parent;
	struct row_link *x = &entry->links[order], *p;
	uint32_t above = x->up, inner;

	parent = at_place(s, above);
	p = &parent->links[order];
	point_to(s, order, root, p->up, above, place);
	x->up = p->up;
	p->up = place;
	if (p->left == place) {
		inner = p->left = x->right;
		x->right = above;
	} else {
		inner = p->right = x->left;
		x->left = above;
	}
	if (inner)
		at_place(s, inner)->links[order].up = above;
	(void)refresh(s, order, parent); /* of both together nothing has changed */
	(void)refresh(s, order, entry);
}

static void put_in(struct store *s, enum row_order order, struct row_entry *entry)
{
	uint32_t *root = root_of(s, order, &entry->row), *down = root, up = 0;
	uint32_t place = place_of(s, entry);
	struct row_link *l = &entry->links[order];

	while (*down) {
		struct row_entry *other = at_place(s, *down);

		up = *down;
		down = stands_before(s, order, &entry->row, &other->row)
			       ? &other->links[order].left
			       : &other->links[order].right;
	}
	*down = place;
	*l = (struct row_link){.up = up, .due = USEC_INFINITY};
	refresh_from(s, order, place);
	while (l->up && weight_of(at_place(s, l->up)) < weight_of(entry))
		lift(s, order, root, place);
}

static void take_out(struct store *s, enum row_order order, struct row_entry *entry)
{
	uint32_t *root = root_of(s, order, &entry->row), place = place_of(s, entry);
	const struct row_link *l = &entry->links[order];

	while (l->left || l->right) {
		if (!l->right ||
		    (l->left && weight_of(at_place(s, l->left)) > weight_of(at_place(s, l->right))))
			lift(s, order, root, l->left);
		else
			lift(s, order, root, l->right);
	}
	point_to(s, order, root, l->up, place, 0);
	refresh_from(s, order, l->up);
}

/* --- what goes in and out --- */

/* What a cursor counts of its rows. */
static void count(struct store *s, struct row_entry *entry, uint64_t n)
{
	cursor_of(s, entry->row.sink, entry->row.stream)->in_rows += n - entry->counted;
	entry->counted = n;
}

void row_index_add(struct store *s, struct row_entry *entry)
{
	entry->counted = 0;
	count(s, entry, entry->row.count);
	for (enum row_order order = 0; order < ROW_ORDERS; order++)
		put_in(s, order, entry);
}

void row_index_drop(struct store *s, struct row_entry *entry)
{
	count(s, entry, 0);
	for (enum row_order order = 0; order < ROW_ORDERS; order++)
		take_out(s, order, entry);
}

void row_index_change_due(struct store *s, struct row_entry *entry)
{
	for (enum row_order order = 0; order < ROWS_WITHOUT_DUE; order++)
		refresh_from(s, order, place_of(s, entry));
}

void row_index_change(struct store *s, struct row_entry *entry)
{
	count(s, entry, entry->row.count);
	row_index_change_due(s, entry);
	for (enum row_order order = 0; order < ROWS_BY_NUMBER; order++) { /* which never changes */
		take_out(s, order, entry);
		put_in(s, order, entry);
	}
}

void row_index_moved(struct store *s, const struct row_entry *from, const struct row_entry *to)
{
	uint32_t old = place_of(s, from), new = place_of(s, to);

	for (enum row_order order = 0; order < ROW_ORDERS; order++) {
		const struct row_link *l = &to->links[order];

		point_to(s, order, root_of(s, order, &to->row), l->up, old, new);
		if (l->left)
			at_place(s, l->left)->links[order].up = new;
		if (l->right)
			at_place(s, l->right)->links[order].up = new;
	}
}

/* --- questions --- */

struct row_entry *row_index_first_due(const struct store *s, enum row_order order, uint32_t sink,
				      uint32_t stream, usec_t now)
{
	uint32_t place = cursor_of(s, sink, stream)->rows[order];
	struct row_entry *entry = place ? at_place(s, place) : NULL;

	if (!entry || !is_due(entry->links[order].due, now))
		return NULL;
	for (;;) {
		const struct row_link *l = &entry->links[order];
		struct row_entry *left = l->left ? at_place(s, l->left) : NULL;

		if (left && is_due(left->links[order].due, now))
			entry = left;
		else if (is_due(due_of(&entry->row), now))
			return entry;
		else
			entry = at_place(s, l->right); /* something below is due, so here */
	}
}

usec_t row_index_due(const struct store *s, uint32_t sink, uint32_t stream)
{
	return earliest_below(s, ROWS_BY_URGENCY,
			      cursor_of(s, sink, stream)->rows[ROWS_BY_URGENCY]);
}

struct row_entry *row_index_at(const struct store *s, uint32_t sink, uint32_t stream, uint64_t seq)
{
	uint32_t place = cursor_of(s, sink, stream)->rows[ROWS_BY_SEQ];
	struct row_entry *last = NULL;

	while (place) {
		struct row_entry *entry = at_place(s, place);
		bool begins = entry->row.first_seq <= seq;

		if (begins)
			last = entry;
		place = begins ? entry->links[ROWS_BY_SEQ].right : entry->links[ROWS_BY_SEQ].left;
	}
	return last && last->row.last_seq >= seq ? last : NULL;
}

struct row_entry *row_index_next(const struct store *s, uint32_t sink, uint32_t stream,
				 uint64_t seq)
{
	uint32_t place = cursor_of(s, sink, stream)->rows[ROWS_BY_SEQ];
	struct row_entry *first = NULL;

	while (place) {
		struct row_entry *entry = at_place(s, place);
		bool behind = entry->row.first_seq > seq;

		if (behind)
			first = entry;
		place = behind ? entry->links[ROWS_BY_SEQ].left : entry->links[ROWS_BY_SEQ].right;
	}
	return first;
}

struct row_entry *row_index_number(const struct store *s, int64_t number)
{
	uint32_t place = s->row_numbers;

	while (place) {
		struct row_entry *entry = at_place(s, place);

		if (entry->row.number == number)
			return entry;
		place = number < entry->row.number ? entry->links[ROWS_BY_NUMBER].left
						   : entry->links[ROWS_BY_NUMBER].right;
	}
	return NULL;
}
