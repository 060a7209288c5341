/*
 * signals.c — what a trainer does when it is told to stop.
 *
 * While a run goes on the first SIGINT, SIGTERM or SIGHUP is rnn_interrupt: the chunk in
 * progress ends, the state is left as a checkpoint, no COMPLETED. The second ends the
 * process at once, as the first does where there is no run: a checkpoint being written is
 * then lost, never the one before. A signal that was ignored when the program began (nohup,
 * a shell's background job) stays ignored. SIGUSR1 asks for a checkpoint behind the chunk
 * in progress, or, before there is one, behind the first; the run goes on.
 *
 * The handler touches atomics alone. Signals belong to the process: one trainer at a time.
 */
#include "trainer.h"

#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

static _Atomic(rnn_engine *) running, validating;
static volatile sig_atomic_t first, listening;
static bool prepared;
static atomic_bool wish;

static const struct {
    int number;
    int status; /* of the process that it ends */
} stop_list[] = {{SIGINT, 130}, {SIGTERM, 143}, {SIGHUP, 143}};
enum { N_STOP = sizeof stop_list / sizeof *stop_list };

static const int ignored_list[] = {SIGPIPE, SIGXFSZ};
enum { N_IGNORED = sizeof ignored_list / sizeof *ignored_list };

static struct sigaction before[N_STOP + N_IGNORED], before_wish;

static int status_of(int number)
{
    for (int i = 0; i < N_STOP; i++)
        if (stop_list[i].number == number)
            return stop_list[i].status;
    return 128 + number;
}

static void on_signal(int number)
{
    if (first || !listening)
        _exit(status_of(number));
    first = number;
    rnn_engine *e = atomic_load(&running), *evaluator = atomic_load(&validating);
    if (e)
        rnn_interrupt(e);
    if (evaluator)
        rnn_interrupt(evaluator);
}

static void on_wish(int number)
{
    (void)number;
    atomic_store(&wish, true);
}

/* Unless it was ignored. */
static void take(int number, const struct sigaction *action, struct sigaction *was)
{
    sigaction(number, NULL, was);
    if (was->sa_handler != SIG_IGN)
        sigaction(number, action, NULL);
}

/* Writing into a closed pipe, or beyond the file size limit, is an error, not a death. */
static void ignore(void)
{
    struct sigaction none = {.sa_handler = SIG_IGN};
    sigemptyset(&none.sa_mask);
    for (int i = 0; i < N_IGNORED; i++)
        sigaction(ignored_list[i], &none, &before[N_STOP + i]);
}

void rnn_trainer_prepare(void)
{
    struct sigaction stop = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    struct sigaction save = {.sa_handler = on_wish, .sa_flags = SA_RESTART};
    if (prepared)
        return;
    prepared = true;
    first = listening = 0;
    atomic_store(&wish, false);
    sigemptyset(&stop.sa_mask);
    sigemptyset(&save.sa_mask);
    take(SIGUSR1, &save, &before_wish);
    for (int i = 0; i < N_STOP; i++)
        take(stop_list[i].number, &stop, &before[i]);
    ignore();
}

void rnn__signals_restore(void)
{
    for (int i = 0; i < N_IGNORED; i++)
        sigaction(ignored_list[i], &before[N_STOP + i], NULL);
    for (int i = 0; i < N_STOP; i++)
        sigaction(stop_list[i].number, &before[i], NULL);
    sigaction(SIGUSR1, &before_wish, NULL);
    prepared = false;
}

void rnn__signals_listen(void) { listening = 1; }

void rnn__signals_stop_listening(void)
{
    listening = 0;
    rnn__signals_reach(NULL, NULL);
}

void rnn__signals_reach(rnn_engine *trainer, rnn_engine *evaluator)
{
    atomic_store(&running, trainer);
    atomic_store(&validating, evaluator);
    if (first && trainer)
        rnn_interrupt(trainer);
    if (first && evaluator)
        rnn_interrupt(evaluator);
}

bool rnn__signals_take_wish(void) { return atomic_exchange(&wish, false); }

int rnn__signals_status(void) { return first ? status_of(first) : 0; }
