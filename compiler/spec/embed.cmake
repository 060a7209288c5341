# embed.cmake — turns the library's YAML files into a C file that defines spec_library.
#
#     cmake -DDIR=specs/std -DOUT=library.c -P embed.cmake
#
# Each file becomes an array of its bytes, so that nothing in it needs escaping. Names are
# "std/" and the path within DIR; the order is the names'.
file(GLOB_RECURSE paths RELATIVE "${DIR}" "${DIR}/*.yaml")
list(SORT paths)

set(code "/* Made from specs/std by compiler/spec/embed.cmake. */\n#include \"spec/spec.h\"\n\n")
set(table "")
set(i 0)
foreach(path IN LISTS paths)
    file(READ "${DIR}/${path}" bytes HEX)
    string(REGEX REPLACE "(..)" "'\\\\x\\1', " bytes "${bytes}")
    string(APPEND code "static const char file_${i}[] = {${bytes}0};\n")
    string(APPEND table "    {\"std/${path}\", file_${i}},\n")
    math(EXPR i "${i} + 1")
endforeach()
string(APPEND code "\nconst EmbeddedFile spec_library[] = {\n${table}    {NULL, NULL},\n};\n")
file(WRITE "${OUT}" "${code}")
