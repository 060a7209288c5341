# compare.cmake — what `rnnc explain` prints of an example spec is what generated/ holds.
#
#     cmake -DRNNC=rnnc -DROOT=. -DSPEC=charlm -DPASS=place -DEXPECTED=generated/charlm/plan.txt
#           -P compare.cmake
#
# The level is fixed: the text does not depend on the machine. It is printed twice, since the
# same input must give the same bytes. After a change that is meant: generated/update.sh.
function(explain to)
    execute_process(
        COMMAND ${RNNC} explain specs/${SPEC}.yaml --after ${PASS} --target x86-64-v3
        WORKING_DIRECTORY ${ROOT} OUTPUT_VARIABLE text RESULT_VARIABLE status)
    if(status)
        message(FATAL_ERROR "rnnc explain specs/${SPEC}.yaml --after ${PASS}: status ${status}")
    endif()
    set(${to} "${text}" PARENT_SCOPE)
endfunction()

explain(first)
explain(second)
if(NOT first STREQUAL second)
    message(FATAL_ERROR "two runs print different text")
endif()
file(READ ${ROOT}/${EXPECTED} expected)
if(NOT first STREQUAL expected)
    file(WRITE ${SPEC}_${PASS}.txt "${first}")
    execute_process(COMMAND diff -u ${ROOT}/${EXPECTED} ${SPEC}_${PASS}.txt)
    message(FATAL_ERROR "${EXPECTED} differs from what is printed now; if the change is meant, "
        "run generated/update.sh and commit both together")
endif()
