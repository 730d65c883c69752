//! Builds FAISS and our bridge to it once for each instruction set, into one static library (docs/decisions/0023-faiss.md).
//!
//! faiss-sys brings FAISS's source and has built it for what every processor of the architecture has. The other variants are compiled here from the same
//! source. Each variant becomes one object file in which every name but its entry point is local: else the linker would take one variant's copy of a C++
//! template for all of them, and a processor without AVX-512 would meet its instructions.
#![allow(clippy::print_stdout)]

use std::{
    env,
    error::Error,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

/// Names the variants to build, with commas between them. The generic one is always there. Each of the others takes minutes, so without a word of this they are a
/// matter of release builds.
const ONLY: &str = "SKEIN_FAISS_VARIANTS";

/// The bridge's own files.
const BRIDGE: [&str; 6] = ["build.cc", "io.cc", "search.cc", "shape.cc", "status.cc", "table.cc"];
const BRIDGE_HEADERS: [&str; 2] = ["bridge.h", "internal.h"];

/// FAISS compiled for a set of instructions.
struct Variant {
    name: &'static str,
    flags: &'static [&'static str],
}

/// What faiss-sys has built.
const GENERIC: Variant = Variant { name: "generic", flags: &[] };

/// The flags are those of FAISS's own CMakeLists.txt. `src/faiss/variant.rs` knows what a processor must have for each.
const X86_64: [Variant; 2] = [
    Variant { name: "avx2", flags: &["-mavx2", "-mfma", "-mf16c", "-mpopcnt"] },
    Variant {
        name: "avx512",
        flags: &[
            "-mavx2",
            "-mfma",
            "-mf16c",
            "-mpopcnt",
            "-mavx512f",
            "-mavx512cd",
            "-mavx512vl",
            "-mavx512dq",
            "-mavx512bw",
        ],
    },
];

fn main() -> Result<()> {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=bridge");
    println!("cargo:rustc-check-cfg=cfg(skein_faiss, values(\"avx2\", \"avx512\"))");
    println!("cargo:rerun-if-env-changed={ONLY}");
    println!("cargo:rerun-if-env-changed=LD");
    println!("cargo:rerun-if-env-changed=OBJCOPY");
    let out = PathBuf::from(variable("OUT_DIR")?);
    let faiss = Faiss::find()?;
    let mut objects = vec![merge(&GENERIC, &bridge(&GENERIC, &faiss, &out)?, &faiss.library, &out)?];
    for variant in wanted()? {
        let library = faiss.compile(variant, &out)?;
        objects.push(merge(variant, &bridge(variant, &faiss, &out)?, &library, &out)?);
        println!("cargo:rustc-cfg=skein_faiss=\"{}\"", variant.name);
    }
    archive(&objects, &out.join("libskein_faiss.a"))?;
    println!("cargo:rustc-link-search=native={}", out.display());
    println!("cargo:rustc-link-lib=static=skein_faiss");
    for library in ["openblas", "gomp", "stdc++"] {
        println!("cargo:rustc-link-lib={library}");
    }
    Ok(())
}

/// The variants besides the generic one.
fn wanted() -> Result<Vec<&'static Variant>> {
    let possible: &[Variant] = if variable("CARGO_CFG_TARGET_ARCH")? == "x86_64" { &X86_64 } else { &[] };
    let Ok(only) = env::var(ONLY) else {
        let release = variable("PROFILE")? == "release";
        return Ok(possible.iter().filter(|_| release).collect());
    };
    let named = only.split(',').map(str::trim).filter(|name| !name.is_empty() && *name != GENERIC.name);
    named
        .map(|name| {
            let found = possible.iter().find(|variant| variant.name == name);
            found
                .ok_or_else(|| format!("{ONLY} is '{only}'; there are generic, avx2 and avx512, on x86_64 only").into())
        })
        .collect()
}

fn variable(name: &str) -> Result<String> {
    env::var(name).map_err(|error| format!("the environment variable {name}: {error}").into())
}

/// Where faiss-sys has FAISS.
struct Faiss {
    /// The folder with the folder `faiss`.
    source: PathBuf,
    /// `libfaiss.a` for every processor.
    library: PathBuf,
    /// Where the other variants are kept.
    variants: PathBuf,
}

impl Faiss {
    fn find() -> Result<Self> {
        let root = PathBuf::from(variable("DEP_FAISS_C_ROOT").map_err(|_| {
            "faiss-sys did not say where it built FAISS; is its feature 'static' on, as the root Cargo.toml has it?"
        })?);
        let cache = root.join("build/CMakeCache.txt");
        let text = fs::read_to_string(&cache).map_err(|error| format!("{}: {error}", cache.display()))?;
        let source = text
            .lines()
            .find_map(|line| line.strip_prefix("CMAKE_HOME_DIRECTORY:INTERNAL="))
            .map(PathBuf::from)
            .ok_or_else(|| format!("{} does not say where FAISS's source is", cache.display()))?;
        let library = ["lib/libfaiss.a", "lib64/libfaiss.a", "build/faiss/libfaiss.a"]
            .into_iter()
            .map(|path| root.join(path))
            .find(|path| path.exists())
            .ok_or_else(|| format!("faiss-sys left no libfaiss.a below {}", root.display()))?;
        Ok(Self { source, library, variants: root.join("variants") })
    }

    /// FAISS's list of its source files for the CPU.
    fn files(&self) -> Result<Vec<PathBuf>> {
        let folder = self.source.join("faiss");
        let list = folder.join("CMakeLists.txt");
        let text = fs::read_to_string(&list).map_err(|error| format!("{}: {error}", list.display()))?;
        let files: Vec<_> = text
            .split_once("set(FAISS_SRC")
            .and_then(|(_, rest)| rest.split_once(')'))
            .map(|(files, _)| files.split_whitespace().map(|file| folder.join(file)).collect())
            .unwrap_or_default();
        if files.len() < 50 {
            return Err(format!("{} does not list FAISS's source files as it did in 1.12", list.display()).into());
        }
        Ok(files.into_iter().chain([folder.join("invlists/OnDiskInvertedLists.cpp")]).collect())
    }

    /// FAISS for a variant, as an archive. It takes minutes, so it is kept beside faiss-sys's own build, which all checkouts that build into one folder share, until
    /// the source, the compiler or the flags change.
    fn compile(&self, variant: &Variant, out: &Path) -> Result<PathBuf> {
        fs::create_dir_all(&self.variants)?;
        let library = self.variants.join(format!("libfaiss_{}.a", variant.name));
        let stamp = library.with_extension("stamp");
        let mut build = compiler(variant, &self.source);
        let tool = build.try_get_compiler()?;
        let version = run(Command::new(tool.path()).arg("--version"), "the C++ compiler")?;
        let wanted = format!("{}\n{:?}\n{version}", self.source.display(), tool.args());
        if library.exists() && fs::read_to_string(&stamp).is_ok_and(|stamp| stamp == wanted) {
            return Ok(library);
        }
        let objects = build.files(self.files()?).out_dir(out.join(variant.name)).try_compile_intermediates()?;
        archive(&objects, &library)?;
        fs::write(&stamp, wanted)?;
        Ok(library)
    }
}

/// The compiler, optimising in every profile: nobody debugs FAISS here, and without optimisation it is of no use.
fn compiler(variant: &Variant, source: &Path) -> cc::Build {
    let mut build = cc::Build::new();
    build
        .cpp(true)
        .std("c++17")
        .opt_level(3)
        .debug(false)
        .pic(true)
        .warnings(false)
        .flag("-fopenmp")
        .flag("-ffunction-sections")
        .flag("-fdata-sections")
        // Names of that kind cannot be made local. Only GCC knows it.
        .flag_if_supported("-fno-gnu-unique")
        .define("FINTEGER", "int")
        .define("NDEBUG", None)
        .include(source);
    for flag in variant.flags {
        build.flag(flag);
    }
    build
}

fn bridge(variant: &Variant, faiss: &Faiss, out: &Path) -> Result<Vec<PathBuf>> {
    for header in BRIDGE_HEADERS {
        if !Path::new("bridge").join(header).exists() {
            return Err(format!("bridge/{header} is missing").into());
        }
    }
    let mut build = compiler(variant, &faiss.source);
    build
        .warnings(true)
        .extra_warnings(false)
        .flag_if_supported("-Wno-unused-parameter")
        .flag_if_supported("-Wno-sign-compare")
        .define("SKEIN_VARIANT", variant.name)
        .files(BRIDGE.map(|file| Path::new("bridge").join(file)))
        .out_dir(out.join(format!("bridge-{}", variant.name)));
    if !variant.flags.is_empty() {
        build.define("SKEIN_INITIALISERS", None);
    }
    Ok(build.try_compile_intermediates()?)
}

/// One object file of the bridge and what it needs of FAISS, which offers the bridge's entry point and nothing else.
fn merge(variant: &Variant, bridge: &[PathBuf], library: &Path, out: &Path) -> Result<PathBuf> {
    let name = variant.name;
    let (whole, object) = (out.join(format!("{name}.whole.o")), out.join(format!("skein_faiss_{name}.o")));
    let linker = tool("LD", "ld");
    let mut link = Command::new(&linker);
    link.args(["-r", "--force-group-allocation", "-o"]).arg(&whole).args(bridge).arg(library);
    run(&mut link, &format!("'{linker}', which must be GNU ld 2.29 or newer (package binutils; LD names another),"))?;
    let objcopy = tool("OBJCOPY", "objcopy");
    let mut copy = Command::new(&objcopy);
    copy.arg(format!("--keep-global-symbol=skein_faiss_{name}"));
    if !variant.flags.is_empty() {
        // What C++ runs before main would use instructions that the processor may lack. The entry point runs it, once the variant is chosen.
        copy.arg(format!("--rename-section=.init_array=skein_init_{name},alloc,load,data,contents"));
    }
    run(copy.arg(&whole).arg(&object), &format!("'{objcopy}' (package binutils; OBJCOPY names another)"))?;
    fs::remove_file(&whole)?;
    check(variant, &object)?;
    Ok(object)
}

/// Makes sure of what the linker and objcopy were asked for: a mistake here is an illegal instruction somewhere else.
fn check(variant: &Variant, object: &Path) -> Result<()> {
    let nm = tool("NM", "nm");
    let names =
        run(Command::new(&nm).args(["-g", "--defined-only"]).arg(object), &format!("'{nm}' (package binutils)"))?;
    // Unique names (u) are left in the generic variant, which is not compiled here. They are of data, which any code may use.
    let named = names.lines().filter_map(|line| line.split_once(' ')?.1.split_once(' '));
    let names: Vec<_> = named.filter(|(kind, _)| *kind != "u").map(|(_, name)| name).collect();
    if names != [format!("skein_faiss_{}", variant.name)] {
        return Err(
            format!("{} offers the names {:?}; it must be its entry point alone", object.display(), names).into()
        );
    }
    let objdump = tool("OBJDUMP", "objdump");
    let sections = run(Command::new(&objdump).arg("-h").arg(object), &format!("'{objdump}' (package binutils)"))?;
    if !variant.flags.is_empty()
        && [".init_array", ".ctors", ".preinit_array"].iter().any(|early| sections.contains(early))
    {
        return Err(format!("{} still runs code before main", object.display()).into());
    }
    Ok(())
}

fn archive(objects: &[PathBuf], archive: &Path) -> Result<()> {
    if archive.exists() {
        fs::remove_file(archive)?;
    }
    run(
        Command::new(tool("AR", "ar")).arg("crs").arg(archive).args(objects),
        "'ar' (package binutils; AR names another)",
    )?;
    Ok(())
}

fn tool(variable: &str, default: &str) -> String {
    env::var(variable).unwrap_or_else(|_| default.to_owned())
}

fn run(command: &mut Command, what: &str) -> Result<String> {
    let output = command.output().map_err(|error| format!("{what} could not be started: {error}"))?;
    if !output.status.success() {
        return Err(format!("{what} failed ({}):\n{}", output.status, String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
