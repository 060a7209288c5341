/*
 * tile.c — how nests are cut: register tiles, chains, blocks of points, vectors, parts of
 * threads.
 *
 * A tile is rows x vectors of accumulators, and all of it should stay in registers: the
 * accumulators, `vectors` operands of b, one of a. The target names the tile that was
 * measured best for many rows. Where a product has few, an accumulator would wait for its
 * last sum, and more of them that do not wait for each other are found in two ways:
 *
 *  - a tile of one or two rows takes several panels at once;
 *  - in a step of a scan, where there are not enough panels either, an element is several
 *    chains over runs of k, added up at the end. That changes the order of the sum, so the
 *    number of chains depends on the rows that the plan is made for, never on a call's.
 *
 * A long k is taken in blocks, and each block's sum is added to the sum of those before it:
 * of one long chain the error grows with its whole length.
 *
 * Panels beyond the second-level cache would be waited for: while the tiles go down the
 * rows of one, they fetch the next. The points of a sum stand far from each other, a line
 * of each at a time, which no hardware foresees: its tiles fetch the next line of every
 * point, where the rows of a tile share lines at all. Points on more pages than a TLB finds
 * at once are copied into panels, block by block.
 *
 * A scan of a few rows uses each panel once a step, and panels that are beyond the
 * first-level cache all come from the second, unless a step begins where the one before
 * it ended: every other step takes the panels, or of a single panel the halves of the
 * chains, from the last to the first. Halves are as long as each other: where k does not
 * divide so, all chains of a step run side by side from its beginning.
 *
 * A sweep runs along its innermost dimension in vectors, unless a wide value varies there.
 * What the chunk keeps of all steps, the backward pass and the sums find beyond the second
 * level, a short run for each row and step, perhaps written by another core: no hardware
 * foresees that, and a sweep fetches it some rows ahead.
 *
 * Of a nest without axes the threads take parts, whole tiles of a product's columns, whole
 * vectors of a sweep's; what cannot be split is one thread's, each such nest of a stage the
 * next one's.
 *
 * Needs: contractions with their panels.
 * Makes: Contraction.tiling, Sweep.lanes and ahead, Nest.split, unit and turn.
 */
#include "passes/tile.h"

enum { BUSY = 8 }; /* accumulators that hide the latency of fma on two units */

/* ---- products ---- */

/* Panels that a tile of so few rows takes at once: not more than there are, and all that
   is needed at a time in registers. */
static int panels_at_once(const PlanTarget *t, int rows, int vectors, int64_t whole)
{
    int panels = rows == 1 ? 4 : rows * vectors <= BUSY / 2 ? 2 : 1;
    int operands = (rows == 1 ? 1 : panels * vectors) + 1;
    while (panels > 1 && rows * panels * vectors + operands > t->registers)
        panels /= 2;
    while (panels > 1 && panels > whole)
        panels /= 2;
    return panels;
}

/* So many, then what is left over by halves. */
static void list_widths(int *widths, int panels)
{
    int n = 0;
    for (; panels > 1; panels /= 2)
        widths[n++] = panels;
    widths[n] = 1;
}

/* Vectors over the columns behind the last whole panel. */
static int vectors_of_rest(const PlanTarget *t, int64_t n, int panel)
{
    return (int)((n % panel + t->vector - 1) / t->vector);
}

/* Rows for which the accumulators and, since no chain waits for another, the operands of
   all chains fit. */
static int rows_of_chains(const PlanTarget *t, int vectors, int chains)
{
    int rows = (t->registers - chains * vectors) / (chains * (vectors + 1));
    return rows < 1 ? 1 : rows < t->tile_rows ? rows : t->tile_rows;
}

/*
 * k of a block, blocks being about as long as each other. A block of a panel is no larger
 * than the first-level cache that the target counts on: tiles read all of it. The error of
 * a sum grows with the root of its chain's length: 256 are about what optimized BLAS
 * libraries take.
 */
static int64_t block_of_k(const PlanTarget *t, int panel, int64_t k, int chains)
{
    enum { LONGEST = 256 };
    int64_t fit = t->l1_bytes / (panel * t->real_bytes);
    int64_t most = fit < 1 ? 1 : fit < LONGEST ? fit : LONGEST;
    int64_t blocks = chains > 1 ? 1 : (k + most - 1) / most;
    return blocks > 1 ? (k + blocks - 1) / blocks : k;
}

Tiling tiling_of_product(const PlanTarget *t, int panel, int64_t n, int64_t k, int chains,
                         bool alternate)
{
    Tiling g = {.rows = t->tile_rows,
                .vectors = panel / t->vector,
                .rest = vectors_of_rest(t, n, panel),
                .panels = {{1}, {1}},
                .chains = chains,
                .alternate = alternate,
                .halves = alternate && n <= panel && chains > 1 && k % chains == 0,
                .along = ALONG_LONGEST,
                .ahead = chains == 1 && n * k * t->real_bytes > t->l2_bytes,
                .block = block_of_k(t, panel, k, chains)};
    if (chains > 1)
        g.rows = rows_of_chains(t, g.vectors, chains);
    else if (!alternate)
        for (int rows = 1; rows <= 2; rows++)
            list_widths(g.panels[rows - 1], panels_at_once(t, rows, g.vectors, n / panel));
    return g;
}

/* Chains that keep a step busy whose sums are `busy` accumulators. */
static int chains_of(int64_t k, int64_t busy)
{
    enum { SHORTEST = 8 }; /* products of a chain */
    int chains = 1;
    while (chains < TILE_MAX_CHAINS && chains * busy < BUSY && k >= 2 * chains * SHORTEST)
        chains *= 2;
    return chains;
}

/* A step of a scan. */
static Tiling tiling_of_step(const Plan *p, const Contraction *c)
{
    enum { FEW_ROWS = 4 };
    const PlanTarget *t = &p->target;
    const Buffer *b = &p->buffer[c->packed];
    int64_t rows = p->rows_max * c->m, vectors = (c->n + t->vector - 1) / t->vector;
    int64_t of_panel = b->panel / t->vector;
    bool alternate = rows <= FEW_ROWS && b->bytes > t->l1_bytes;
    if (alternate && c->n <= b->panel) {
        int chains = chains_of(c->k, rows * vectors / 2); /* half of them at a time */
        if (chains > 1 && c->k % chains == 0)
            return tiling_of_product(t, b->panel, c->n, c->k, chains, true);
        alternate = false;
    }
    if (alternate && vectors > of_panel)
        vectors = of_panel;
    return tiling_of_product(t, b->panel, c->n, c->k, chains_of(c->k, rows * vectors),
                             alternate);
}

/* The one dimension of rows that has more than one element, or the innermost where it is
   known to fill a tile; else the run time must tell. */
static Along along(const Plan *p, const Stage *s, const Group *g, const Contraction *c)
{
    bool steps = s->kind == STAGE_TIME && !g->scan && p->steps_max > 1,
         rows = (s->kind == STAGE_TIME || s->kind == STAGE_ROWS) && p->rows_max > 1;
    if (c->m >= c->tiling.rows || !(steps || rows))
        return ALONG_M;
    if (c->m > 1 || (steps && rows))
        return ALONG_LONGEST;
    return steps ? ALONG_STEPS : ALONG_ROWS;
}

/* ---- sums over points ---- */

enum { SUM_BLOCK = 96 }; /* points; measured: 64, 96, 128, 192, 256, 512 */

/*
 * Are the points of a block, `pitch` elements apart, on more pages than are found at once?
 * Tiles would then look a page up for every point: copying the block once for all tiles of
 * n takes less where there are several of them. Measured on an Intel Xeon, points 2, 3, 4
 * and 16 KB apart: sums 5 % slower, then 8, 13 and 13 % faster.
 */
static bool is_spread_out(const PlanTarget *t, int64_t pitch)
{
    return capped((double)pitch * t->real_bytes) > t->tlb_bytes / SUM_BLOCK;
}

/* Panels of whole tiles and whole vectors, of which a quarter of the second level holds a
   block: b and c need the rest. Tiles find a in order then, and fetching c gained nothing
   more. Threads that split n copy a each for itself. */
static void gather_a(const PlanTarget *t, Tiling *g)
{
    for (g->a_panel = g->rows; g->a_panel % t->vector != 0;)
        g->a_panel += g->rows;
    int64_t panel_bytes = (int64_t)g->a_panel * SUM_BLOCK * t->real_bytes;
    int64_t panels = t->l2_bytes / 4 / panel_bytes;
    g->a_rows = (panels < 1 ? 1 : panels) * g->a_panel;
    g->ahead = g->c_ahead = false;
}

/*
 * A block of b's panel and the lines of a that a tile reads should fit the first-level
 * cache, and the pages of a its TLB, else a is copied. Between two blocks a c that fills
 * half of the second level leaves it, and is fetched.
 */
Tiling tiling_of_sum(const PlanTarget *t, int64_t m, int64_t n, int64_t a_m,
                     int64_t a_point)
{
    bool large = capped((double)m * (double)n * t->real_bytes) > t->l2_bytes / 2;
    Tiling g = {.rows = t->tile_rows,
                .vectors = t->tile_vectors,
                .rest = vectors_of_rest(t, n, t->tile_vectors * t->vector),
                .panels = {{1}, {1}},
                .chains = 1,
                .along = ALONG_M,
                .ahead = a_m == 1,
                .c_ahead = a_m == 1 && large,
                .block = SUM_BLOCK};
    if (a_m == 1 && n > (int64_t)g.vectors * t->vector && is_spread_out(t, a_point))
        gather_a(t, &g);
    return g;
}

/* Elements from point to point of a, an operand of a sum: rows of a buffer, else of the
   user's arrays as they are most often; or k of a point. */
static int64_t pitch_of_points(const Plan *p, const Contraction *c)
{
    const Buffer *b = &p->buffer[c->a.buffer];
    if (c->k > 1)
        return c->a.stride[2];
    return b->row_stride > 0 ? b->row_stride : shape_size(&b->shape);
}

/* ---- fetching ahead ---- */

/* Bytes that a chunk keeps of all steps. */
static int64_t bytes_kept(const Plan *p)
{
    int64_t bytes = 0;
    for (int i = 0; i < p->n_buffer; i++)
        if (buffer_is_kept(&p->buffer[i]))
            bytes += p->buffer[i].bytes;
    return bytes;
}

/* Those that the sweep reads at a point by vectors: what stands still is a line or two. */
static int64_t kept_at_point(const Plan *p, const Sweep *s)
{
    int64_t bytes = 0;
    for (int i = 0; i < s->n_instr; i++) {
        const Access *a = &s->instr[i].access;
        if (s->instr[i].kind != I_LOAD || !access_is_kept(&p->buffer[a->buffer], a))
            continue;
        int64_t n = element_bytes(p, p->buffer[a->buffer].element);
        if (s->rank == 0 || a->stride[s->rank - 1] == 0)
            continue;
        for (int d = 0; d < s->rank; d++)
            n *= a->stride[d] != 0 ? s->extent[d] : 1;
        bytes += n;
    }
    return bytes;
}

/* Rows to the point that is fetched for: AHEAD bytes of reading. Measured: 4, 8, 12 KB. */
static int rows_ahead(const Plan *p, const Stage *s, const Nest *n, const Sweep *w)
{
    enum { AHEAD = 8 << 10 };
    bool points = s->kind == STAGE_TIME ||
                  (s->kind == STAGE_SUM && w->each_point && n->sum == AXES_ALL);
    int64_t bytes = points ? kept_at_point(p, w) : 0;
    int64_t rows = bytes == 0 ? 0 : (AHEAD + bytes - 1) / bytes;
    return (int)(rows < p->rows_max ? rows : p->rows_max);
}

/* ---- parts of threads ---- */

/* The sweep whose features threads can share: the only one, but for those that set its sums
   to zero, which must fall into the same parts; NULL: none. */
static const Sweep *shared_sweep(const Nest *n)
{
    PointSweeps sums = nest_point_sweeps(n);
    const Sweep *s = &n->sweep[sums.first];
    if (n->n_sweep != sums.first + 1 || s->rank == 0 || s->reduced)
        return NULL;
    for (int i = 0; i < sums.first; i++) {
        const Sweep *zero = &n->sweep[i];
        if (zero->rank == 0 || zero->extent[zero->rank - 1] != s->extent[s->rank - 1])
            return NULL;
    }
    return s;
}

/* The longer side of a sum of products, panels of a pack, columns of a sum, else whole
   rows. A product's rows and columns are one thread's. */
static Split split_of(const Stage *s, const Nest *n)
{
    const Contraction *c = n->contraction;
    if (n->pack >= 0)
        return SPLIT_N;
    if (c)
        return s->kind != STAGE_SUM ? SPLIT_NONE : c->m >= c->n ? SPLIT_M : SPLIT_N;
    const Sweep *shared = shared_sweep(n);
    if (!shared)
        return SPLIT_NONE;
    return s->kind == STAGE_SUM || shared->rank == 1 ? SPLIT_N : SPLIT_M;
}

static int64_t unit_of(const Plan *p, const Nest *n)
{
    const Contraction *c = n->contraction;
    if (n->pack >= 0 || n->split != SPLIT_N)
        return 1;
    return (c ? c->tiling.vectors : 1) * (int64_t)p->target.vector;
}

void tile_set_split(const Plan *p, Nest *n, Split split)
{
    n->split = split;
    n->unit = unit_of(p, n);
}

/* ---- the pass ---- */

static void tile_contraction(const Plan *p, const Stage *s, const Group *g, Contraction *c)
{
    if (c->packed < 0) {
        c->tiling =
            tiling_of_sum(&p->target, c->m, c->n, c->a.stride[1], pitch_of_points(p, c));
        return;
    }
    c->tiling = g->scan ? tiling_of_step(p, c)
                        : tiling_of_product(&p->target, p->buffer[c->packed].panel, c->n,
                                            c->k, 1, false);
    c->tiling.along = along(p, s, g, c);
}

/* far: what is kept of all steps is beyond the second level. */
static void tile_nest(const Plan *p, const Stage *s, const Group *g, Nest *n, bool far)
{
    if (n->contraction)
        tile_contraction(p, s, g, n->contraction);
    for (int i = 0; i < n->n_sweep; i++) {
        Sweep *w = &n->sweep[i];
        bool scalar = w->rank == 0 || sweep_is_wide(p->arena, w);
        w->lanes = scalar ? 1 : p->target.vector;
        w->ahead = far ? rows_ahead(p, s, n, w) : 0;
    }
    if (s->kind != STAGE_TIME) /* else by rows, or as share.c says */
        tile_set_split(p, n, s->kind == STAGE_ROWS ? SPLIT_NONE : split_of(s, n));
}

static void tile_stage(const Plan *p, Stage *s, bool far)
{
    int turn = 0;
    for (int g = 0; g < s->n_group; g++)
        for (int i = 0; i < s->group[g].n_nest; i++) {
            Nest *n = &s->group[g].nest[i];
            tile_nest(p, s, &s->group[g], n, far);
            bool once = s->kind == STAGE_ONCE || s->kind == STAGE_SUM;
            n->turn = once && n->split == SPLIT_NONE ? turn++ : 0;
        }
}

void tile_pass(Plan *p)
{
    bool far = bytes_kept(p) > p->target.l2_bytes;
    for (int id = 0; id < PROC_COUNT; id++)
        for (int i = 0; i < p->proc[id].n_stage; i++)
            tile_stage(p, &p->proc[id].stage[i], far);
}
