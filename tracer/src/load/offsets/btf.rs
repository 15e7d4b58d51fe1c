//! A small reader of BTF (Documentation/bpf/btf.rst): where members of the kernel's structs are.
//!
//! One pass over the type section notes where each type begins and which structs and enums have names;
//! only the few types that are asked for are looked into. The `btf` crate and aya-obj build a value for
//! every type (130,000 of them, their names copied), which takes longer than all the rest of the start.

use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use super::OffsetsError;

const MAGIC: u16 = 0xeb9f;
const HEADER_BYTES: usize = 24;
const TYPE_BYTES: usize = 12;
const MEMBER_BYTES: usize = 12;
const ENUM_BYTES: usize = 8;
const ENUM64_BYTES: usize = 12;
/// Bound on members looked at for one name: a damaged file may nest a struct in itself.
const MAX_MEMBER_VISITS: u32 = 100_000;
/// Bound on typedefs and qualifiers in a row, and on anonymous structs in each other.
const MAX_DEPTH: u32 = 32;

mod kind {
    pub const INT: u32 = 1;
    pub const ARRAY: u32 = 3;
    pub const STRUCT: u32 = 4;
    pub const UNION: u32 = 5;
    pub const ENUM: u32 = 6;
    pub const TYPEDEF: u32 = 8;
    pub const VOLATILE: u32 = 9;
    pub const CONST: u32 = 10;
    pub const RESTRICT: u32 = 11;
    pub const FUNC_PROTO: u32 = 13;
    pub const VAR: u32 = 14;
    pub const DATASEC: u32 = 15;
    pub const DECL_TAG: u32 = 17;
    pub const TYPE_TAG: u32 = 18;
    pub const ENUM64: u32 = 19;
    pub const LAST: u32 = ENUM64;
}

/// BTF bytes with an index of their types.
pub struct Btf<'a> {
    types: &'a [u8],
    strings: &'a [u8],
    /// Where type `i + 1` begins in `types` (type 0 is void and is not written down).
    starts: Vec<u32>,
    /// Ids of the structs, unions and enums of a name; several where translation units differ.
    named: FxHashMap<&'a [u8], SmallVec<[u32; 1]>>,
}

/// The fixed first part of a type.
#[derive(Clone, Copy)]
struct Type {
    start: usize,
    name: u32,
    info: u32,
    size_or_type: u32,
}

impl Type {
    const fn kind(self) -> u32 {
        (self.info >> 24) & 0x1f
    }

    const fn vlen(self) -> usize {
        (self.info & 0xffff) as usize
    }

    /// In structs: member offsets carry a bitfield size in their high byte.
    const fn kind_flag(self) -> bool {
        self.info >> 31 == 1
    }

    /// Bytes after the fixed part; `None` for a kind this reader does not know.
    const fn tail_bytes(self) -> Option<usize> {
        Some(match self.kind() {
            kind::INT | kind::VAR | kind::DECL_TAG => 4,
            kind::ARRAY => 12,
            kind::STRUCT | kind::UNION | kind::DATASEC | kind::ENUM64 => self.vlen() * MEMBER_BYTES,
            kind::ENUM | kind::FUNC_PROTO => self.vlen() * ENUM_BYTES,
            1..=kind::LAST => 0,
            _ => return None,
        })
    }
}

/// A member found in a struct, anonymous structs and unions in it included.
#[derive(Clone, Copy)]
struct Member {
    offset_bits: u32,
    bitfield_bits: u32,
    type_id: u32,
}

impl<'a> Btf<'a> {
    /// Indexes the types of `bytes` (a whole BTF blob in this machine's byte order).
    ///
    /// # Errors
    /// [`OffsetsError::NotBtf`], [`OffsetsError::Damaged`]
    pub fn parse(bytes: &'a [u8]) -> Result<Btf<'a>, OffsetsError> {
        let (types, strings) = sections(bytes)?;
        let mut btf = Btf { types, strings, starts: Vec::new(), named: FxHashMap::default() };
        btf.index()?;
        Ok(btf)
    }

    fn index(&mut self) -> Result<(), OffsetsError> {
        // vmlinux: about 40 bytes a type.
        self.starts.reserve(self.types.len() / 40);
        let mut start = 0;
        while start < self.types.len() {
            let ty = type_at(self.types, start)?;
            let tail = ty.tail_bytes().ok_or(OffsetsError::UnknownKind { kind: ty.kind() })?;
            self.starts.push(start as u32);
            if matches!(ty.kind(), kind::STRUCT | kind::UNION | kind::ENUM | kind::ENUM64)
                && ty.name != 0
            {
                let name = name_at(self.strings, ty.name)?;
                self.named.entry(name).or_default().push(self.starts.len() as u32);
            }
            start += TYPE_BYTES + tail;
        }
        Ok(())
    }

    /// Byte offset of a member. `path` may go through named members: `ns.inum`.
    ///
    /// # Errors
    /// Names the struct or the `struct.member` that this BTF lacks.
    pub fn member_offset_bytes(&self, of: &str, path: &str) -> Result<u32, OffsetsError> {
        let ids =
            self.named.get(of.as_bytes()).ok_or_else(|| OffsetsError::NoType(of.to_owned()))?;
        // Where translation units differ, the definition that has the member is the one meant.
        let mut failure = OffsetsError::NoMember(format!("{of}.{path}"));
        for &id in ids {
            match self.walk(id, path) {
                Ok(Some(member)) if member.bitfield_bits == 0 && member.offset_bits % 8 == 0 => {
                    return Ok(member.offset_bits / 8);
                }
                Ok(Some(_)) => failure = OffsetsError::Bitfield(format!("{of}.{path}")),
                Ok(None) => {}
                Err(e) => failure = e,
            }
        }
        Err(failure)
    }

    /// Offset in bits of a member that may be a bitfield.
    ///
    /// # Errors
    /// As [`Btf::member_offset_bytes`].
    pub fn member_offset_bits(&self, of: &str, path: &str) -> Result<u32, OffsetsError> {
        let ids =
            self.named.get(of.as_bytes()).ok_or_else(|| OffsetsError::NoType(of.to_owned()))?;
        for &id in ids {
            if let Some(member) = self.walk(id, path)? {
                return Ok(member.offset_bits);
            }
        }
        Err(OffsetsError::NoMember(format!("{of}.{path}")))
    }

    /// The value of an enumerator.
    ///
    /// # Errors
    /// Names the enum or the enumerator that this BTF lacks.
    pub fn enum_value(&self, of: &str, enumerator: &str) -> Result<u32, OffsetsError> {
        let ids =
            self.named.get(of.as_bytes()).ok_or_else(|| OffsetsError::NoType(of.to_owned()))?;
        for &id in ids {
            let ty = self.by_id(id)?;
            let step = match ty.kind() {
                kind::ENUM => ENUM_BYTES,
                kind::ENUM64 => ENUM64_BYTES,
                _ => continue,
            };
            for i in 0..ty.vlen() {
                let at = ty.start + TYPE_BYTES + i * step;
                if name_at(self.strings, word(self.types, at)?)? == enumerator.as_bytes() {
                    return word(self.types, at + 4);
                }
            }
        }
        Err(OffsetsError::NoMember(format!("{of}.{enumerator}")))
    }

    fn walk(&self, struct_id: u32, path: &str) -> Result<Option<Member>, OffsetsError> {
        let mut at = Member { offset_bits: 0, bitfield_bits: 0, type_id: struct_id };
        for name in path.split('.') {
            let mut visits = MAX_MEMBER_VISITS;
            let Some(found) = self.find_member(at.type_id, name.as_bytes(), 0, &mut visits)? else {
                return Ok(None);
            };
            at = Member { offset_bits: at.offset_bits.saturating_add(found.offset_bits), ..found };
        }
        Ok(Some(at))
    }

    fn find_member(
        &self,
        in_type: u32,
        name: &[u8],
        depth: u32,
        visits: &mut u32,
    ) -> Result<Option<Member>, OffsetsError> {
        let ty = self.unqualified(in_type)?;
        if !matches!(ty.kind(), kind::STRUCT | kind::UNION) {
            return Ok(None);
        }
        for i in 0..ty.vlen() {
            *visits =
                visits.checked_sub(1).ok_or(OffsetsError::Damaged { what: "struct nesting" })?;
            let (member_name, member) = self.member(ty, i)?;
            if member_name == name {
                return Ok(Some(member));
            }
            if !member_name.is_empty() || depth == MAX_DEPTH {
                continue;
            }
            if let Some(inner) = self.find_member(member.type_id, name, depth + 1, visits)? {
                let offset_bits = member.offset_bits.saturating_add(inner.offset_bits);
                return Ok(Some(Member { offset_bits, ..inner }));
            }
        }
        Ok(None)
    }

    fn member(&self, of: Type, index: usize) -> Result<(&'a [u8], Member), OffsetsError> {
        let at = of.start + TYPE_BYTES + index * MEMBER_BYTES;
        let name = name_at(self.strings, word(self.types, at)?)?;
        let type_id = word(self.types, at + 4)?;
        let offset = word(self.types, at + 8)?;
        let (offset_bits, bitfield_bits) =
            if of.kind_flag() { (offset & 0x00ff_ffff, offset >> 24) } else { (offset, 0) };
        Ok((name, Member { offset_bits, bitfield_bits, type_id }))
    }

    /// The type behind typedefs and qualifiers.
    fn unqualified(&self, id: u32) -> Result<Type, OffsetsError> {
        let mut ty = self.by_id(id)?;
        for _ in 0..MAX_DEPTH {
            match ty.kind() {
                kind::TYPEDEF | kind::VOLATILE | kind::CONST | kind::RESTRICT | kind::TYPE_TAG => {
                    ty = self.by_id(ty.size_or_type)?
                }
                _ => return Ok(ty),
            }
        }
        Err(OffsetsError::Damaged { what: "typedef chain" })
    }

    fn by_id(&self, id: u32) -> Result<Type, OffsetsError> {
        let index = (id as usize).checked_sub(1);
        let start = index
            .and_then(|i| self.starts.get(i))
            .ok_or(OffsetsError::Damaged { what: "type id" })?;
        type_at(self.types, *start as usize)
    }
}

fn sections(bytes: &[u8]) -> Result<(&[u8], &[u8]), OffsetsError> {
    if bytes.len() < HEADER_BYTES {
        return Err(OffsetsError::NotBtf { bytes: bytes.len() });
    }
    if u16::from_ne_bytes([bytes[0], bytes[1]]) != MAGIC {
        return Err(OffsetsError::NotBtf { bytes: bytes.len() });
    }
    let header_bytes = word(bytes, 4)?;
    let section = |at: usize, what| {
        let from = u64::from(header_bytes) + u64::from(word(bytes, at)?);
        let to = from + u64::from(word(bytes, at + 4)?);
        let range = usize::try_from(from).ok().zip(usize::try_from(to).ok());
        range.and_then(|(f, t)| bytes.get(f..t)).ok_or(OffsetsError::Damaged { what })
    };
    Ok((section(8, "type section")?, section(16, "string section")?))
}

fn type_at(types: &[u8], start: usize) -> Result<Type, OffsetsError> {
    Ok(Type {
        start,
        name: word(types, start)?,
        info: word(types, start + 4)?,
        size_or_type: word(types, start + 8)?,
    })
}

fn word(bytes: &[u8], at: usize) -> Result<u32, OffsetsError> {
    let four = bytes.get(at..at.saturating_add(4)).and_then(|b| b.first_chunk::<4>());
    four.map(|b| u32::from_ne_bytes(*b)).ok_or(OffsetsError::Damaged { what: "type" })
}

fn name_at(strings: &[u8], offset: u32) -> Result<&[u8], OffsetsError> {
    let rest = strings.get(offset as usize..).ok_or(OffsetsError::Damaged { what: "name" })?;
    let end = memchr::memchr(0, rest).ok_or(OffsetsError::Damaged { what: "name" })?;
    Ok(&rest[..end])
}
