/*
 * test_cpp_header.cpp — rnn.h is C++17 as well.
 */
#include "rnn.h"

#include <cstdio>

static int process(rnn_engine *, void *, rnn_output *output, void *)
{
    output->value = 1;
    output->null = false;
    return 0;
}

static int count(rnn_engine *, int, void *user)
{
    ++*static_cast<int *>(user);
    return 0;
}

int main()
{
    rnn_engine *e = nullptr;
    int n = 0;
    if (rnn_engine_new(&e, process, nullptr, nullptr) != 0)
        return 1;
    rnn_filter filter{};
    filter.every = 2;
    rnn_on(e, RNN_ITERATION_COMPLETED, &filter, count, &n);
    rnn_run_options options{};
    options.max_epochs = 1;
    options.epoch_length = 6;
    int status = rnn_engine_run(e, nullptr, &options);
    rnn_close(e);
    std::printf("%d firings\n", n);
    return status == 0 && n == 3 ? 0 : 1;
}
