/*
 * summary.c — what rnnc check says of a spec without mistakes: what was understood, how
 * large it is, how much a chunk computes, and the settings with their defaults.
 */
#include <inttypes.h>
#include <string.h>

#include "graph/describe.h"
#include "report.h"

typedef struct {
    const Unit *u;
    Arena *arena;
    FILE *out;
} Summary;

/* ---- what goes in ---- */

static const char *kind_print(Arena *arena, const Input *in)
{
    switch ((InputKind)in->kind) {
    case INPUT_REAL:
        return in->shape.rank
                   ? arena_print(arena, "real %s", shape_print(arena, &in->shape))
                   : "real";
    case INPUT_INTEGER: return "integer";
    case INPUT_FLAG: return "flag";
    case INPUT_CLASS: return arena_print(arena, "class(%" PRId64 ")", in->classes);
    }
    BUG("an input of kind %d", in->kind);
}

static void print_inputs(const Summary *s)
{
    const Graph *g = s->u->graph;
    fprintf(s->out, "\ninputs\n");
    for (int i = 0; i < g->n_input; i++) {
        const Input *in = &g->input[i];
        fprintf(s->out, "  %-28s %-14s %s%s", in->name, kind_print(s->arena, in),
                in->per_sequence ? "once a sequence" : "each step",
                in->for_loss_only ? ", read by the loss alone" : "");
        if (in->has_ignore)
            fprintf(s->out, ", %" PRId64 " does not count", in->ignore);
        fprintf(s->out, "\n");
    }
}

/* ---- parameters ---- */

static const VarDecl *declared_in(const Def *def, Loc at)
{
    for (int i = 0; i < def->n_param; i++) {
        Loc l = def->param[i].loc;
        if (l.source == at.source && l.line == at.line && l.column == at.column)
            return &def->param[i];
    }
    return NULL;
}

static const char *default_of(const char *path)
{
    for (int i = 0; i < n_spec_key; i++)
        if (str_eq(spec_keys[i].path, path))
            return spec_keys[i].otherwise;
    return "";
}

/* The rule for a parameter's first values, as it stands in the spec or the library. */
static const char *rule_of(const Summary *s, const Param *p)
{
    const Spec *spec = s->u->spec;
    const VarDecl *decl = declared_in(spec->model, p->loc);
    for (int i = 0; i < spec->n_def && !decl; i++)
        decl = declared_in(&spec->def[i], p->loc);
    if (!decl)
        return "";
    return decl->init ? lang_print(s->arena, decl->init)
                      : default_of("cells.*.params.*.init");
}

static void print_params(const Summary *s, const struct rnn_model *m)
{
    const Graph *g = s->u->graph;
    fprintf(s->out, "\nparameters\n");
    for (int i = 0; i < g->n_param; i++) {
        const Param *p = &g->param[i];
        const char *not_trained = !p->trained              ? "   not trained"
                                  : p->gradient == NO_NODE ? "   the loss does not reach it"
                                                           : "";
        fprintf(s->out, "  %-28s %-14s %10" PRId64 "   %s%s\n", p->name,
                shape_print(s->arena, &p->shape), shape_size(&p->shape), rule_of(s, p),
                s->u->spec->loss ? not_trained : "");
    }
    fprintf(s->out, "  %-28s %-14s %10" PRId64 "\n", "total", "", m->params_size);
}

static void print_states(const Summary *s, const struct rnn_model *m)
{
    if (m->n_state)
        fprintf(s->out, "\nstates, of each row\n");
    for (int i = 0; i < m->n_state; i++) {
        Shape shape = {.rank = m->state[i].rank};
        memcpy(shape.dim, m->state[i].dim, sizeof shape.dim);
        fprintf(s->out, "  %-28s %-14s %10" PRId64 "\n", m->state[i].name,
                shape_print(s->arena, &shape), m->state[i].size);
    }
}

static void print_output(const Summary *s)
{
    const Graph *g = s->u->graph;
    if (g->output != NO_NODE)
        fprintf(s->out, "\noutput of a step     %s\n",
                shape_print(s->arena, &g->node[g->output].shape));
}

/* ---- how it is trained ---- */

/* One sentence of the variant, on lines of its own. */
static void print_sentence(const Summary *s, const char *sentence)
{
    enum { INDENT = 21, WIDTH = 100 };
    int column = INDENT;
    fprintf(s->out, "%*s", INDENT, "");
    for (const char *at = sentence; *at;) {
        size_t word = strcspn(at, " ");
        if (column > INDENT && column + (int)word > WIDTH) {
            fprintf(s->out, "\n%*s", INDENT, "");
            column = INDENT;
        }
        fprintf(s->out, "%.*s", (int)word, at);
        column += (int)word + 1;
        at += word;
        if (*at == ' ' && column + (int)strcspn(at + 1, " ") <= WIDTH)
            fputc(' ', s->out);
        at += *at == ' ';
    }
    fputc('\n', s->out);
}

static void print_window(const Summary *s)
{
    const Spec *spec = s->u->spec;
    if (spec->tbptt_window <= spec->tbptt_step)
        return;
    print_sentence(
        s,
        arena_print(s->arena,
                    "window %" PRId64 ": an update each %" PRId64
                    " steps, for which the chunk is computed again from the state %" PRId64
                    " steps before, so that the gradient travels up to %" PRId64
                    " steps; the loss is that of %s",
                    spec->tbptt_window, spec->tbptt_step,
                    spec->tbptt_window - spec->tbptt_step, spec->tbptt_window,
                    spec->tbptt_loss_all ? "the whole window" : "the new steps alone"));
}

static void print_steps_that_count(const Summary *s)
{
    const Spec *spec = s->u->spec;
    if (spec->tbptt_burn_in)
        print_sentence(s, arena_print(s->arena,
                                      "burn_in: the first %" PRId64
                                      " steps of a sequence run forward only: no loss, no "
                                      "gradient, no dropout",
                                      spec->tbptt_burn_in));
    if (spec->tbptt_reset)
        print_sentence(
            s, arena_print(s->arena,
                           "reset: before a step where %s is 1 the row starts a new "
                           "sequence, and no gradient goes back beyond it",
                           spec->tbptt_reset->text));
    if (spec->tbptt_lengths)
        print_sentence(s,
                       arena_print(s->arena,
                                   "lengths: steps of a row from %s on leave its states as "
                                   "they are and have no loss",
                                   spec->tbptt_lengths->text));
}

static void print_masks(const Summary *s)
{
    if (s->u->spec->data_masks)
        print_sentence(s, "nan: mask: reals that are not finite are read as 0, and a step "
                          "of a row with one has no loss");
}

static void print_carry(const Summary *s)
{
    const Spec *spec = s->u->spec;
    bool cut = spec_integer(spec, "data.train.length", 0) > 0;
    const char *carry = spec_text(spec, "tbptt.carry", cut ? "stream" : "none");
    print_sentence(s,
                   str_eq(carry, "batch")
                       ? "carry: row b of a batch goes on from row b of the batch before"
                   : str_eq(carry, "stream")
                       ? "carry: a batch goes on where its streams were left; a pass over "
                         "the data begins anew"
                       : "each batch begins with the initial states");
}

static bool has_states(const Graph *g)
{
    for (int i = 0; i < g->n_state; i++)
        if (!g->state[i].backward)
            return true;
    return false;
}

void summary_variant(const Unit *u, FILE *out)
{
    const Summary variant = {.u = u, .arena = u->arena, .out = out}, *s = &variant;
    const Spec *spec = u->spec;
    bool carries = has_states(u->graph);
    if (!spec->loss) {
        fprintf(s->out,
                "tbptt                no loss: the model can be run, not trained\n");
        return;
    }
    if (spec->tbptt_step)
        fprintf(
            s->out,
            "tbptt                truncated after %" PRId64
            " steps: the loss of a chunk is differentiated through\n"
            "                     the chunk's own steps, then the parameters are updated; "
            "states go on to the\n"
            "                     next chunk detached, so that no gradient goes back over "
            "its border\n",
            spec->tbptt_window);
    else
        fprintf(s->out,
                "tbptt                none: a chunk is a whole sequence, the gradient "
                "goes back to its first step\n");
    if (!carries)
        print_sentence(s, "the model has no state to carry");
    print_window(s);
    print_steps_that_count(s);
    print_masks(s);
    if (carries)
        print_carry(s);
    fprintf(s->out, "                     a batch's loss is the %s\n",
            str_eq(spec_text(spec, "tbptt.report", ""), "weighted")
                ? "mean of its chunks' losses weighted by what counted in them"
                : "unweighted mean of its chunks' losses");
}

static void print_training(const Summary *s)
{
    const Unit *u = s->u;
    fprintf(s->out, "chunk                at most %" PRId64 " steps × %" PRId64 " rows\n",
            u->steps_max, u->rows_max);
    if (u->spec->loss)
        fprintf(s->out, "loss                 %s\n", lang_print(s->arena, u->spec->loss));
    for (int i = 0; i < u->spec->n_metric; i++)
        fprintf(s->out, "metric               %s = %s\n", u->spec->metric[i].name,
                lang_print(s->arena, u->spec->metric[i].value));
    if (u->spec->optimizer)
        fprintf(s->out, "optimizer            %s\n",
                lang_print(s->arena, u->spec->optimizer));
    summary_variant(u, s->out);
}

/* ---- how large ---- */

static void print_memory(const Summary *s, const struct rnn_model *m)
{
    const Plan *p = s->u->plan;
    double real = (double)rnn_dtype_bytes(m->dtype);
    double params = real * (double)m->params_size;
    double optimizer = real * (double)m->optimizer_size + 8.0 * m->n_optimizer_scalar;
    double states = 2 * real * (double)m->state_size * (double)p->rows_max;
    const struct {
        const char *name;
        double bytes;
    } part[] = {
        {"parameters", params},
        {"gradients", s->u->spec->loss ? params : 0},
        {"optimizer", optimizer},
        {"states carried", states},
        {"workspace of a chunk", (double)p->workspace_bytes},
    };
    double sum = 0;
    fprintf(s->out, "\nmemory\n");
    for (int i = 0; i < COUNT(part); i++) {
        fprintf(s->out, "  %-28s %14s\n", part[i].name,
                bytes_print(s->arena, part[i].bytes));
        sum += part[i].bytes;
    }
    fprintf(s->out, "  %-28s %14s, and %s for each thread\n", "in all",
            bytes_print(s->arena, sum), bytes_print(s->arena, (double)p->scratch_bytes));
}

static void print_work(const Summary *s)
{
    const Plan *p = s->u->plan;
    ProcId forward = s->u->spec->loss ? PROC_GRAD : PROC_STEP;
    const struct {
        const char *name;
        ProcId proc;
        int phase;
    } part[] = {
        {"forward", forward, PHASE_FORWARD},
        {"backward", forward, PHASE_BACKWARD},
        {"update", PROC_UPDATE, ANY_PHASE},
    };
    double sum = 0;
    fprintf(s->out, "\noperations of a chunk              products    elementwise\n");
    for (int i = 0; i < COUNT(part); i++) {
        Cost c = cost_of_procedure(p, part[i].proc, part[i].phase);
        fprintf(s->out, "  %-28s %12s   %12s\n", part[i].name,
                count_print(s->arena, c.product), count_print(s->arena, c.elementwise));
        sum += c.product + c.elementwise;
    }
    fprintf(s->out, "  %-28s %12s   = %s for each step of a row\n", "in all",
            count_print(s->arena, sum),
            count_print(s->arena, sum / (double)p->steps_max / (double)p->rows_max));
}

/* ---- settings ---- */

/* Whether the row of the schema is `section` and one more name. */
static bool is_key_of(const Key *row, const char *section, const char **name)
{
    size_t n = strlen(section);
    if (strncmp(row->path, section, n) != 0 || row->path[n] != '.')
        return false;
    *name = row->path + n + 1;
    return !strpbrk(*name, ".*[");
}

/* An entry of a list: itself, or by its name; {NAME: false} with what it says. */
static void add_entry(Text *out, const Tree *entry)
{
    if (entry->kind == TREE_SCALAR)
        text_add(out, "%s", entry->text);
    if (entry->kind != TREE_MAP || entry->n == 0)
        return;
    text_add(out, "%s", entry->key[0]);
    if (entry->child[0]->kind == TREE_SCALAR)
        text_add(out, ": %s", entry->child[0]->text);
}

static const char *value_print(const Summary *s, const Tree *t)
{
    if (t->kind == TREE_SCALAR)
        return t->text;
    Text out = {.arena = s->arena};
    text_add(&out, "[");
    for (int i = 0; i < t->n; i++) {
        text_add(&out, "%s", i ? ", " : "");
        if (t->kind == TREE_MAP)
            text_add(&out, "%s", t->key[i]);
        else
            add_entry(&out, t->child[i]);
    }
    text_add(&out, "]");
    return out.text;
}

/* What the spec gives, then the defaults of what it leaves out. given: NULL for nothing. */
static void print_keys(const Summary *s, const char *section, const char *rows,
                       const Tree *given)
{
    const char *name, *separator = "  otherwise ";
    fprintf(s->out, "%s\n", section);
    for (int i = 0; given && i < given->n; i++)
        fprintf(s->out, "  %-28s %s\n", given->key[i], value_print(s, given->child[i]));
    for (int i = 0; i < n_spec_key; i++) {
        if (!is_key_of(&spec_keys[i], rows, &name) || (given && tree_get(given, name)) ||
            !*spec_keys[i].otherwise || str_eq(spec_keys[i].otherwise, "required"))
            continue;
        fprintf(s->out, "%s%s %s", separator, name, spec_keys[i].otherwise);
        separator = ", ";
    }
    if (separator[0] == ',')
        fprintf(s->out, "\n");
}

static void print_section(const Summary *s, const char *section, const char *rows)
{
    print_keys(s, section, rows, spec_tree(s->u->spec, section));
}

/* Each handler as a section of its own, by the path that --set takes. */
static void print_handlers(const Summary *s)
{
    const Tree *list = spec_tree(s->u->spec, "train.handlers");
    for (int i = 0; list && i < list->n; i++) {
        const Tree *entry = list->child[i];
        bool is_name = entry->kind == TREE_SCALAR;
        const char *name = is_name ? entry->text : entry->key[0];
        const Tree *options =
            is_name || entry->child[0]->kind != TREE_MAP ? NULL : entry->child[0];
        if (is_name || entry->child[0]->kind != TREE_SCALAR) /* {NAME: false} */
            print_keys(s, arena_print(s->arena, "train.handlers.%s", name),
                       arena_print(s->arena, "train.handlers[].%s", name), options);
    }
}

static void print_settings(const Summary *s)
{
    const Tree *data = s->u->spec->data;
    fprintf(s->out, "\n");
    print_section(s, "tbptt", "tbptt");
    for (int i = 0; data && i < data->n; i++)
        print_section(s, arena_print(s->arena, "data.%s", data->key[i]), "data.*");
    print_section(s, "train", "train");
    print_handlers(s);
    const char *title = "numbers that --set changes in a built trainer\n";
    for (int i = 0; i < s->u->graph->n_scalar; i++) {
        const Scalar *scalar = &s->u->graph->scalar[i];
        if (scalar->counter)
            continue;
        fprintf(s->out, "%s  %-28s %g\n", title, scalar->name, scalar->value);
        title = "";
    }
}

void summary_print(const Unit *u, FILE *out)
{
    const Summary s = {.u = u, .arena = u->arena, .out = out};
    const struct rnn_model *m =
        graph_describe(u->arena, u->graph, u->steps_max, u->rows_max);
    fprintf(out, "%s: %" PRId64 " parameters\n", u->spec->name, m->params_size);
    print_inputs(&s);
    print_params(&s, m);
    print_states(&s, m);
    print_output(&s);
    print_training(&s);
    print_memory(&s, m);
    print_work(&s);
    print_settings(&s);
}
