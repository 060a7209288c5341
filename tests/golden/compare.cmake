# compare.cmake — what rnnc prints is what a committed file holds.
#
#     cmake -DRNNC=rnnc -DROOT=. "-DCOMMAND=explain;specs/charlm.yaml;--after;place"
#           -DEXPECTED=generated/charlm/plan.txt -P compare.cmake
#
# It is printed twice, since the same input must give the same bytes. After a change that is
# meant: generated/update.sh.
function(print to)
    execute_process(COMMAND ${RNNC} ${COMMAND}
        WORKING_DIRECTORY ${ROOT} OUTPUT_VARIABLE text RESULT_VARIABLE status)
    if(status)
        message(FATAL_ERROR "rnnc ${COMMAND}: status ${status}")
    endif()
    set(${to} "${text}" PARENT_SCOPE)
endfunction()

print(first)
print(second)
if(NOT first STREQUAL second)
    message(FATAL_ERROR "two runs print different text")
endif()
file(READ ${ROOT}/${EXPECTED} expected)
if(NOT first STREQUAL expected)
    string(REPLACE "/" "_" printed ${EXPECTED})
    file(WRITE ${printed} "${first}")
    execute_process(COMMAND diff -u ${ROOT}/${EXPECTED} ${printed})
    message(FATAL_ERROR "${EXPECTED} differs from what is printed now; if the change is meant, "
        "run generated/update.sh and commit both together")
endif()
