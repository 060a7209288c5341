/*
 * test_power_loss.c — whenever the power goes, the newest checkpoint that is whole is one
 * that the run had told of as saved, or a newer one, and the run goes on from it to the
 * bits of an undisturbed run.
 *
 * A run's operations on files are recorded. What a disk may hold after the first k of them
 * is enumerated under a weak model (Pillai et al. 2014, "All File Systems Are Not Created
 * Equal", sec. 3):
 *
 *   - data of a file: what was synced; what was written since is there, or is not, or half
 *     of it is, or its place is there and holds zeros;
 *   - names of a folder: each creation, renaming and removal since the folder was synced
 *     has happened or has not, whatever became of the others.
 *
 *     test_power_loss [STEP]
 *
 * runs each STEP-th of the states that differ to its end; all of them without one.
 *
 * A run that takes the folder of another is recorded as well: at each instant the newest
 * checkpoint is the other's newest, or this run's, and that from when it is told of; gone
 * on with, that run ends as it does undisturbed, and nothing is left of the change. So it
 * is where an operation of the change fails, which is then undone, or all from one on do,
 * as where the run is killed; and while the next run settles what that has left.
 *
 * Controls: the same runs without the syncs of files, or of folders, must fail.
 */
#include "trainer.h"
#include "trainer_run.h"

#include <errno.h>
#include <limits.h>

enum { OPS_MAX = 4000, NODES_MAX = 200, NAMES_MAX = 40, NAME_BYTES = 64 };

/* ---- operations ---- */

enum what {
    CREATE,
    WRITE,
    CUT,
    SYNC,
    RENAME,
    UNLINK,
    MAKE_FOLDER,
    SYNC_FOLDER,
    SYNC_ABOVE,
    SAVED
};

struct op {
    enum what what;
    int node;
    char name[NAME_BYTES], to[NAME_BYTES]; /* in the run's folder */
    int64_t bytes, place;
    char *data;
};

static struct op op[OPS_MAX];
static int n_op, n_node, node_of_fd[1024];
static char name_of[NODES_MAX][NAME_BYTES];       /* that it was made with */
static bool takes_over;                           /* the folder is another run's before */
static int n_tried, fail_from = INT_MAX, fail_to; /* calls that would be operations */
static int n_op_before;                           /* the first that fails */
static int n_change; /* calls until the folder has changed hands */
enum { NO_NODE = -1, FOLDER = -2, ABOVE = -3, OTHER_PLACE = 8999 };

static struct op *add(enum what what)
{
    if (n_op == OPS_MAX)
        abort();
    op[n_op].what = what;
    return &op[n_op++];
}

/* Counts a call; true: it fails, and is no operation. */
static bool fails(void)
{
    n_tried++;
    n_op_before = n_tried == fail_from ? n_op : n_op_before;
    errno = EIO;
    return n_tried >= fail_from && n_tried <= fail_to;
}

static const char *name_in_folder(const char *path)
{
    return strncmp(path, "f/", 2) == 0 ? path + 2 : NULL;
}

/* How far a checkpoint is, -1: the name tells nothing. */
static int64_t place_of(const char *name)
{
    long iteration, chunk;
    if (sscanf(name, "checkpoint_%ld_chunk_%ld.", &iteration, &chunk) == 2)
        return iteration * 1000 + chunk;
    return sscanf(name, "checkpoint_%ld.", &iteration) == 1 ? iteration * 1000 + 999 : -1;
}

/* ---- recorded ---- */

static int seen_open(const char *path, int flags, mode_t mode)
{
    struct stat st;
    const char *name = name_in_folder(path);
    bool is_new = name && (flags & O_CREAT) && rnn__io_system.stat(path, &st) != 0;
    if (is_new && fails())
        return -1;
    int fd = rnn__io_system.open(path, flags, mode);
    if (fd < 0 || fd >= 1024)
        return fd;
    node_of_fd[fd] = strcmp(path, "f") == 0   ? FOLDER
                     : strcmp(path, ".") == 0 ? ABOVE
                                              : NO_NODE;
    for (int i = 0; name && !is_new && (flags & O_CREAT) && i < n_node; i++)
        if (strcmp(name_of[i], name) == 0)
            node_of_fd[fd] = i;
    if (is_new && n_node < NODES_MAX) {
        struct op *o = add(CREATE);
        snprintf(name_of[n_node], NAME_BYTES, "%s", name);
        snprintf(o->name, sizeof o->name, "%s", name);
        o->node = node_of_fd[fd] = n_node++;
    }
    return fd;
}
static ssize_t seen_write(int fd, const void *data, size_t n)
{
    if (node_of_fd[fd] >= 0 && fails())
        return -1;
    ssize_t done = rnn__io_system.write(fd, data, n);
    if (done > 0 && node_of_fd[fd] >= 0) {
        struct op *o = add(WRITE);
        o->node = node_of_fd[fd];
        o->bytes = done;
        o->data = malloc((size_t)done);
        memcpy(o->data, data, (size_t)done);
    }
    return done;
}
static int seen_ftruncate(int fd, off_t bytes)
{
    if (fails())
        return -1;
    struct op *o = add(CUT);
    o->node = node_of_fd[fd];
    o->bytes = bytes;
    return rnn__io_system.ftruncate(fd, bytes);
}

static bool ends_in(const char *name, const char *end)
{
    const char *dot = strrchr(name, '.');
    return dot && strcmp(dot, end) == 0;
}

static bool is_checkpoint(const char *name) { return ends_in(name, ".safetensors"); }
static bool is_aside(const char *name) { return ends_in(name, ".aside"); }

/* A checkpoint is told of as saved when its folder has been synced; none that goes back to
   its name, or of a run that fails. */
static void note_saved(void)
{
    const struct op *last = n_op > 0 ? &op[n_op - 1] : NULL;
    bool is_new = last && fail_from == INT_MAX && last->what == RENAME &&
                  is_checkpoint(last->to) && !is_aside(last->name);
    int64_t place = is_new ? place_of(last->to) : -1;
    add(SYNC_FOLDER);
    if (place >= 0)
        add(SAVED)->place = place;
}
static int seen_fsync(int fd)
{
    if (fails())
        return -1;
    if (node_of_fd[fd] == FOLDER)
        note_saved();
    else if (node_of_fd[fd] == ABOVE)
        add(SYNC_ABOVE);
    else if (node_of_fd[fd] >= 0)
        add(SYNC)->node = node_of_fd[fd];
    return rnn__io_system.fsync(fd);
}
static int seen_rename(const char *from, const char *to)
{
    if (fails())
        return -1;
    struct op *o = add(RENAME);
    snprintf(o->name, sizeof o->name, "%s", name_in_folder(from));
    snprintf(o->to, sizeof o->to, "%s", name_in_folder(to));
    return rnn__io_system.rename(from, to);
}
static int seen_unlink(const char *path)
{
    if (fails())
        return -1;
    snprintf(add(UNLINK)->name, NAME_BYTES, "%s", name_in_folder(path));
    n_change = is_aside(path) ? n_tried : n_change;
    return rnn__io_system.unlink(path);
}
static int seen_mkdir(const char *path, mode_t mode)
{
    if (fails())
        return -1;
    add(MAKE_FOLDER);
    return rnn__io_system.mkdir(path, mode);
}

/* Its exit status. */
static int record(const char *line)
{
    struct rnn__io seen = rnn__io_system;
    seen.open = seen_open, seen.write = seen_write, seen.ftruncate = seen_ftruncate;
    seen.fsync = seen_fsync, seen.rename = seen_rename, seen.unlink = seen_unlink;
    seen.mkdir = seen_mkdir;
    n_tried = 0;
    rnn__io = &seen;
    int status = run_settings(trainer_settings, line);
    rnn__io = &rnn__io_system;
    return status;
}

/* ---- what a disk may hold ---- */

struct node {
    char *now, *safe; /* as the run sees it, as the disk has it for sure */
    int64_t n_now, n_safe;
};

struct names {
    int n;
    struct {
        char name[NAME_BYTES];
        int node;
    } entry[NAMES_MAX];
};

static struct node node[NODES_MAX];
static struct names now, safe;
static struct op
    pending[64]; /* of names, since the folder was synced; RENAME has its node */
static int n_pending;
static bool made, made_safe;               /* the folder itself */
static int n_before;                       /* nodes that were there before */
static int64_t told;                       /* the newest place told of as saved */
static bool drop_syncs, drop_folder_syncs; /* the controls */

static int find(const struct names *names, const char *name)
{
    int i = 0;
    while (i < names->n && strcmp(names->entry[i].name, name) != 0)
        i++;
    return i;
}

static void unset(struct names *names, const char *name)
{
    int i = find(names, name);
    if (i < names->n)
        names->entry[i] = names->entry[--names->n];
}

static void set(struct names *names, const char *name, int at)
{
    int i = find(names, name);
    if (i == NAMES_MAX)
        abort();
    names->n += i == names->n;
    snprintf(names->entry[i].name, NAME_BYTES, "%s", name);
    names->entry[i].node = at;
}

static void apply(struct names *names, const struct op *o)
{
    if (o->what == CREATE)
        set(names, o->name, o->node);
    if (o->what == RENAME)
        set(names, o->to, o->node);
    if (o->what != CREATE)
        unset(names, o->name);
}

static void change_names(const struct op *o)
{
    struct op copy = *o;
    int i = find(&now, o->name);
    if (o->what == RENAME)
        copy.node = i < now.n ? now.entry[i].node : 0;
    apply(&now, &copy);
    if (n_pending == 64)
        abort();
    pending[n_pending++] = copy;
}

static void sync_node(struct node *n)
{
    free(n->safe);
    n->safe = malloc((size_t)n->n_now + 1);
    memcpy(n->safe, n->now, (size_t)n->n_now);
    n->n_safe = n->n_now;
}

static void step(const struct op *o)
{
    struct node *n = &node[o->node];
    switch (o->what) {
    case CREATE:
    case RENAME:
    case UNLINK: change_names(o); break;
    case WRITE:
        n->now = realloc(n->now, (size_t)(n->n_now + o->bytes));
        memcpy(n->now + n->n_now, o->data, (size_t)o->bytes);
        n->n_now += o->bytes;
        break;
    case CUT: n->n_now = o->bytes; break;
    case SYNC:
        if (!drop_syncs)
            sync_node(n);
        break;
    case MAKE_FOLDER: made = true; break;
    case SYNC_ABOVE: made_safe = made; break;
    case SYNC_FOLDER:
        if (drop_folder_syncs)
            break;
        safe = now;
        n_pending = 0;
        break;
    case SAVED: told = o->place > told ? o->place : told; break;
    }
}

/* What the folder "before" holds, under the names of the first nodes, is on the disk. */
static void put_before(void)
{
    for (int i = 0; i < n_before; i++) {
        char path[NAME_BYTES + 8];
        struct stat st;
        snprintf(path, sizeof path, "before/%s", name_of[i]);
        CHECK(stat(path, &st) == 0, "%s", path);
        node[i].now = scratch_read(path);
        node[i].n_now = st.st_size;
        sync_node(&node[i]);
        set(&now, name_of[i], i);
    }
    safe = now;
    made = made_safe = n_before > 0;
}

static void begin_disk(void)
{
    for (int i = 0; i < NODES_MAX; i++) {
        free(node[i].now);
        free(node[i].safe);
    }
    memset(node, 0, sizeof node);
    now = safe = (struct names){0};
    n_pending = 0;
    told = -1;
    put_before();
}

/* ---- one state, on a disk ---- */

/* What becomes of a file's data behind its last sync, in eighths: there, then zeros, and no
   more. */
struct fate {
    int there, zeros;
};
static const struct fate fates[] = {{0, 0}, {8, 0}, {1, 0}, {2, 0}, {4, 0}, {6, 0},
                                    {7, 0}, {0, 8}, {1, 7}, {4, 4}, {7, 1}, {0, 4},
                                    {2, 3}, {5, 1}, {3, 0}, {5, 0}};
enum { N_FATE = sizeof fates / sizeof *fates, DIRTY_MAX = 2 };

/* The newest files whose data may be lost; the rest are whole. */
static int n_dirty, dirty[DIRTY_MAX], fate_of[NODES_MAX];
static int n_fate = N_FATE; /* of these the first */

static void find_dirty(void)
{
    n_dirty = 0;
    for (int i = n_node - 1; i >= 0; i--) {
        const struct node *n = &node[i];
        bool same = n->n_now == n->n_safe &&
                    (n->n_now == 0 || memcmp(n->now, n->safe, (size_t)n->n_now) == 0);
        fate_of[i] = 1;
        if (!same && n_dirty < DIRTY_MAX)
            dirty[n_dirty++] = i;
    }
}

/* A file's bytes; the caller frees. Data that were cut away are there or not. */
static char *bytes_of(const struct node *n, const struct fate *fate, int64_t *size)
{
    int64_t more = n->n_now - n->n_safe;
    if (more < 0) {
        *size = fate->there ? n->n_now : n->n_safe;
        more = 0;
    } else {
        *size = n->n_safe + more * (fate->there + fate->zeros) / 8;
    }
    char *out = calloc(1, (size_t)*size + 1);
    int64_t base = n->n_safe < *size ? n->n_safe : *size;
    if (base > 0)
        memcpy(out, n->safe, (size_t)base);
    if (more > 0)
        memcpy(out + base, n->now + base, (size_t)(more * fate->there / 8));
    return out;
}

/* A sum of all that is in the folder, in any order of the names. */
static uint64_t sum_of(const struct names *names)
{
    uint64_t sum = 0;
    for (int i = 0; i < names->n; i++) {
        const char *name = names->entry[i].name;
        int64_t size;
        int at = names->entry[i].node;
        char *data = bytes_of(&node[at], &fates[fate_of[at]], &size);
        uint64_t crc = rnn__crc32c(0, data, (size_t)size);
        crc = crc << 32 | rnn__crc32c((uint32_t)size, name, strlen(name));
        sum += trainer_random(&crc);
        free(data);
    }
    return sum;
}

/* The folder "c" as it is then. */
static void put_state(const struct names *names)
{
    scratch_remove("c", 1);
    rnn__io_system.mkdir("c", 0777);
    for (int i = 0; i < names->n; i++) {
        char path[NAME_BYTES + 8];
        int64_t size;
        int at = names->entry[i].node;
        char *data = bytes_of(&node[at], &fates[fate_of[at]], &size);
        snprintf(path, sizeof path, "c/%s", names->entry[i].name);
        scratch_write(path, data, (size_t)size);
        free(data);
    }
}

/* Whether the newest checkpoint of the state that is whole is one that may be: at `*place`,
   of the run that had the folder before or not. */
static bool newest_is_good(int64_t *place, bool *is_other)
{
    struct rnn__options options = {.program = "trainer"};
    struct rnn__trainer t = {.options = &options};
    struct rnn__fault f = {0};
    struct rnn__safetensors s = {.fd = -1};
    int kept = command_redirect(2, "stderr");
    int code = rnn__checkpoint_newest(&t, "c", &s, &f);
    dup2(kept, 2);
    close(kept);
    *place = code == 0 ? place_of(s.path + 2) : -1;
    const char *seed = code == 0 ? rnn__safetensors_metadata(&s, "seed") : NULL;
    *is_other = takes_over && seed && strcmp(seed, "9") != 0;
    rnn__safetensors_close(&s);
    return *is_other ? told < 0 && *place == OTHER_PLACE
                     : *place >= told && (!takes_over || *place >= 0);
}

enum { SEEN_MAX = 1 << 16 };
static uint64_t seen_sum[SEEN_MAX];
static int n_state, n_run, n_wrong, n_failed, run_each;
static bool is_control, is_undone; /* what is checked: a control, a change that fails */

static bool is_new_state(uint64_t sum)
{
    size_t at = sum % SEEN_MAX;
    while (seen_sum[at] && seen_sum[at] != sum)
        at = (at + 1) % SEEN_MAX;
    bool is_new = seen_sum[at] != sum;
    seen_sum[at] = sum;
    if (n_state > SEEN_MAX / 2)
        abort();
    return is_new;
}

static void check_is_settled(int k)
{
    DIR *dir = opendir("c");
    for (struct dirent *d; dir && (d = readdir(dir));)
        CHECK(!is_aside(d->d_name) && !strstr(d->d_name, ".incoming"),
              "operation %d: %s is left", k, d->d_name);
    if (dir)
        closedir(dir);
}

/* The spec that is there is not ahead of the checkpoints; where the change fails it may not
   go back. */
static bool spec_is_ahead(bool is_other)
{
    char *spec = scratch_read("c/spec.yaml");
    bool is_new = strstr(spec, "# --seed 9") != NULL;
    free(spec);
    return is_new && is_other && !is_undone;
}

/* A state is gone on with, and ends as the run in the folder `whole` did. */
static void go_on(int k, const char *line, const char *whole)
{
    n_run++;
    CHECK(run_settings(trainer_settings, line) == 0, "operation %d: %s", k, errors);
    for (int i = 0; i < 3; i++)
        CHECK(trainer_same("c", whole, trainer_results[i]),
              "operation %d: %s of %s differs", k, trainer_results[i], whole);
    check_is_settled(k);
}

static void check_state(const struct names *names, int k)
{
    int64_t newest;
    bool is_other;
    uint64_t sum = sum_of(names) ^ (uint64_t)told << 40;
    if (!is_new_state(sum | 1))
        return;
    put_state(names);
    bool good = newest_is_good(&newest, &is_other);
    n_state++;
    n_wrong += !good;
    if (is_control)
        return;
    CHECK(!spec_is_ahead(is_other), "operation %d: the spec is of the new run", k);
    CHECK(good, "after operation %d of %d: the newest is %lld, told of was %lld", k, n_op,
          (long long)newest, (long long)told);
    if (n_state % run_each)
        return;
    if (takes_over)
        go_on(k, "--quiet --resume c", is_other ? "before" : "nine");
    else
        go_on(k, trainer_line("c"), "f");
}

/* Every choice of the pending names, every fate of the unsynced data. */
static void check_states(int k)
{
    enum { MOST = 6 };
    int n = n_pending < MOST ? n_pending : MOST, first = n_pending - n;
    find_dirty();
    for (unsigned chosen = 0; chosen < 1u << n; chosen++) {
        struct names names = safe;
        for (int i = 0; i < n_pending; i++)
            if (i < first || chosen >> (i - first) & 1)
                apply(&names, &pending[i]);
        for (int f = 0; f < (n_dirty > 1 ? n_fate * n_fate : n_fate); f++) {
            for (int i = 0, rest = f; i < n_dirty; i++, rest /= n_fate)
                fate_of[dirty[i]] = rest % n_fate;
            check_state(&names, k);
        }
    }
    if (made != made_safe) /* the folder may not be there at all */
        n_wrong += told >= 0;
    CHECK(is_control || made == made_safe || told < 0,
          "operation %d: a checkpoint is told of, and its folder may go", k);
}

static void forget_states(void)
{
    memset(seen_sum, 0, sizeof seen_sum);
    n_state = n_run = n_wrong = 0;
}

/* The states behind each operation from the `first` on. */
static void check_from(int first)
{
    begin_disk();
    for (int k = 0; k < n_op && !(is_control && n_wrong > 0); k++) {
        step(&op[k]);
        if (k >= first)
            check_states(k);
    }
}

static void test_the_power_may_go_after_any_operation(void)
{
    CHECK(record("--quiet --out f") == 0, "%s", errors);
    check_from(0);
    CHECK(n_state > 1000 && n_run > 100, "%d states, %d runs", n_state, n_run);
}

/* ---- a folder that changes hands ---- */

static void clear_ops(void)
{
    for (int i = 0; i < n_op; i++)
        free(op[i].data);
    memset(op, 0, sizeof op);
    n_op = n_node = 0;
}

/* Another run's files in the folder, as the first nodes. */
static void begin_before(void)
{
    clear_ops();
    n_before = 0;
    scratch_remove("f", 1);
    rnn__io_system.mkdir("f", 0777);
    DIR *dir = opendir("before");
    for (struct dirent *d; dir && (d = readdir(dir));) {
        char from[NAME_BYTES + 8], to[NAME_BYTES + 8];
        struct stat st;
        snprintf(from, sizeof from, "before/%.60s", d->d_name);
        snprintf(to, sizeof to, "f/%.60s", d->d_name);
        if (stat(from, &st) != 0 || !S_ISREG(st.st_mode))
            continue;
        char *data = scratch_read(from);
        scratch_write(to, data, (size_t)st.st_size);
        free(data);
        if (d->d_name[0] != '.')
            snprintf(name_of[n_before++], NAME_BYTES, "%.60s", d->d_name);
    }
    if (dir)
        closedir(dir);
    n_node = n_before;
}

static int record_taking(void)
{
    begin_before();
    return record("--quiet --out f --overwrite --seed 9 --max-iterations 1");
}

static void test_the_power_may_go_while_a_folder_changes_hands(void)
{
    rnn__io_system.rename("f", "before");
    CHECK(run_settings(trainer_settings, "--quiet --out nine --seed 9") == 0, "%s", errors);
    takes_over = true;
    forget_states();
    CHECK(record_taking() == 0, "%s", errors);
    check_from(0);
    CHECK(n_state > 100 && n_run > 0 && n_change > 10, "%d states, %d runs, %d operations",
          n_state, n_run, n_change);
}

/* The n-th call fails, and so do the `length` - 1 behind it; then the next run comes. Not
   where a log alone fails, without which a run goes on. */
static void check_failing(int n, int length)
{
    fail_from = n;
    fail_to = length > INT_MAX - n ? INT_MAX : n + length - 1;
    int status = record_taking(), first = n_op_before;
    fail_from = INT_MAX;
    if (status == 0)
        return;
    n_failed++;
    CHECK(record("--quiet --resume f --max-iterations 1") == 0, "call %d: %s", n, errors);
    check_from(first);
}

/* Data that are there in part are met above. */
static void test_the_power_may_go_behind_a_change_that_failed(void)
{
    int n = n_change;
    forget_states();
    n_fate = 2;
    is_undone = true;
    for (int i = 1; i <= n; i++) {
        check_failing(i, 1);
        check_failing(i, INT_MAX);
    }
    n_fate = N_FATE;
    CHECK(n_failed > n && n_state > 100 && n_run > 0, "%d of 2 * %d: %d states, %d runs",
          n_failed, n, n_state, n_run);
}

/* ---- controls ---- */

static void test_without_syncs_it_would_be_noticed(void)
{
    is_control = true;
    for (int folders = 0; folders < 2; folders++) {
        drop_syncs = !folders;
        drop_folder_syncs = folders;
        forget_states();
        check_from(0);
        CHECK(n_wrong > 0, "%s need no syncs", folders ? "folders" : "files");
    }
    is_control = drop_syncs = drop_folder_syncs = false;
}

static void print_counts(const char *what)
{
    printf("%s: %d states, %d gone on with\n", what, n_state, n_run);
}

int main(int argc, char **argv)
{
    run_each = argc > 1 ? atoi(argv[1]) : 1;
    scratch_open_in_memory();
    command_begin();
    test_the_power_may_go_after_any_operation();
    print_counts("a run");
    test_without_syncs_it_would_be_noticed();
    test_the_power_may_go_while_a_folder_changes_hands();
    print_counts("a folder that changes hands");
    test_without_syncs_it_would_be_noticed();
    test_the_power_may_go_behind_a_change_that_failed();
    print_counts("a change that failed");
    clear_ops();
    n_before = 0;
    begin_disk();
    return command_end();
}
