/* All the small print of the language:
   comments of three kinds, */
// this one,
# and this one.
job "syntax" { # trailing
  meta {
    escapes    = "tab\t quote\" backslash\\ unicode \u00e9 \U0001F600 newline\n"
    dollars    = "$${not} %%{this} $ 5% $$x"
    nested     = "a${"b${"c"}"}d"
    arithmetic = "${1 + 2 * 3 - 4 / 2 % 3}"
    compare    = "${1 < 2 && 2 >= 2 || false}"
    not        = "${!false}"
    negative   = -5
    float      = 1.50
    exponent   = 1e3
    ternary    = true ? "yes" : "no"
    multi = (
      1 +
      2
    )
    index   = ["a", "b"][1]
    attr    = { a = { b = "deep" } }.a.b
    splat   = join(",", [{ x = 1 }, { x = 2 }][*].x)
    splat2  = join(",", [{ x = 1 }, { x = 2 }].*.x)
    call    = format("%s-%s", ["a", "b"]...)
    objects = jsonencode({ "quoted" : 1, bare = 2, (upper("x")) = 3 })
    group   = jsonencode({ for v in ["a1", "b1", "a2"] : substr(v, 0, 1) => v... })
    pairs   = jsonencode([for i, v in ["x", "y"] : "${i}=${v}"])
    trim    = "a ${~ "b" ~} c"
    unknown = "${attr.unique.network.ip-address}:${NOMAD_PORT_http}"
    spaced  = "${ meta.x }"
    bare    = meta.foo
    wrapped = upper(meta.foo)
    quoted  = "${env["HOME"]}"
    one     = "%{ if false }no%{ endif }"
    loop    = "%{ for k, v in { b = 2, a = 1 } }${k}${v} %{ endfor }"
  }
  group "g" {
    task "t" {
      driver = "raw_exec"
      config { command = "/bin/true" }
    }
  }
}
