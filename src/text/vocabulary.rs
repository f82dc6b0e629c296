//! What [`tokens_at_most`](super::tokens_at_most) knows of the o200k vocabulary. Held to the real one by its tests.

/// Lower-case words, sorted, that are one token alone and one with a blank before them: those that logs, manuals and
/// licences use most.
pub(super) const WORDS: &str = "able about above accepted access add added adding addition additional address after against algorithm all \
     allowed allows along already also alt always and another answer any anything application applications \
     apply appropriate apt architecture archive are argument arguments around array assert attribute authors \
     automatic available backend based because been before behavior being below benchmark between binary \
     bindings both branch breaking buffer buffers bug bugs build building built but bytes cached call callbacks \
     called can cannot cargo case cases cause certain certificate change changes char character characters \
     check choice choose class client closed code collection columns command commands common compatible compile \
     compiled compiler complete completion components conditions config configuration configure configured \
     connection consider const contain container containers contains control conversion converted copies copy \
     copyright core correct could covered crate create crypto cur current currently custom daemon data database \
     default defined definition dependencies dependency depends derive detail details dev development device \
     different directory disable disabled discord discussion disk distributed distribution docker docs document \
     documentation documents does done download dual duplicate each echo efficient either elif else enable \
     enabled end engine environment error errors especially etc even every exact example examples except \
     exception exceptions exclude execution exists expected experimental expression extension extensions failed \
     feature features field file files filesystem find first fixed follow following for form format found free \
     from full function functions future gcc general generate generated get git github given group half \
     handling hardware has hash have header healthy height help host how href http https identifier image img \
     implement implementation implemented implements important include included includes including info \
     information initialized input install installation installed instead instructions int integer interface \
     internal into invalid items its just kernel key language last later latest least length let level \
     libraries library license licensed licenses like limit line lines link list lists local location machine \
     macro main make making manual match matches matching material may means memory mentioned message messages \
     method might minimum missing mode modified modify module modules more most mounted multiple must mut name \
     names necessary need needed network new non none not nothing notice number object older one only opened \
     operations option optional options order original other others otherwise out output outside package \
     packages part passing password path performance permission permissions platform please plugin point \
     pointer policy port possible prefix present pressure prev previous print printf println problem proc \
     process produce program project projects properties property protected provide provided public published \
     publisher purpose python question quote random rather ratio read really reasonable received reference \
     references regex regular release released reload remote removed report reported reports repository \
     representation request require required requirements requires resident response restart result results \
     return rights root rows run running runtime rust same schema script scripts search seconds section \
     sections security see self serde server service session set shall should show signal signature similar \
     since single sizeof slave snapshot snippet socket software solution some something source sources specific \
     specified src stable stack standard started starting state static status std still stream string strings \
     struct structure structures subject submitted such support supported supports swap symbol syntax system \
     systems table target targets terminate terms test tests text than that the their them then there these \
     they things this those thread threads three through throw time timeout times tokens tools total tracking \
     traditional trait traits translate tree try two type types unable under unit unknown unsigned unwrap \
     update updated use used user users uses using usr value values variable variables verb verbose version \
     versions volatile want warning warnings was way well what whatever when where whether which while will \
     with within without word words work works would write writing written www you your";

/// Bit `b` of entry `a`: the ASCII characters `ab` are one token.
#[rustfmt::skip]
pub(super) const ASCII: [u128; 128] = [
    0x1, 0x200000000000000000, 0x0,
    0x0, 0x0, 0x0,
    0x0, 0x0, 0x0,
    0x7fffffe07fffffe0000000100000600, 0x400, 0x0,
    0x0, 0x2400, 0x0,
    0x0, 0x0, 0x0,
    0x0, 0x0, 0x0,
    0x0, 0x0, 0x0,
    0x0, 0x0, 0x0,
    0x0, 0x0, 0x0,
    0x0, 0x0, 0x7ffffffffffffffffc00ffff00000600,
    0x38000000a400f78600000400, 0x39080913b899fbbedc00fffe00000400, 0x8802082080000000400d81e00000400,
    0x95ff65e900002000400d11000000400, 0x108623c5000003f280073a600000400, 0x9fa222809da3be0000134800000400,
    0x2fbff3f6f838f33afc00ffbc00000400, 0x5fffffffdfffffff9c00effe00000400, 0x3b59e23ff8401000fc00fffe00000400,
    0x7ff7fde9818680b6400f75600000400, 0x39d7f1e3800001e2400fb9c00000400, 0xffffffedfffffff1400fffe00000400,
    0x1ffffffe9ffffffe6000f7f400000400, 0x5fffffffffffffffbc00fffe00000400, 0x4ffffffefffffffff400fffc00000400,
    0x3ff000000000000, 0x3ff000000000000, 0x3ff000000000000,
    0x3ff000000000000, 0x3ff000000000000, 0x3ff000000000000,
    0x3ff000000000000, 0x3ff000000000000, 0x3ff000000000000,
    0x3ff000000000000, 0xffffffffb1d77ffb400fffc00000400, 0x231ffe2e100000001800fbf400000400,
    0x9f9634e89fffffef000a1da00000400, 0x2fffffff9999701ff400e5fe00000400, 0x398800173d197a3ffc00f7fc00000400,
    0x10df490298000000d400f39e00000400, 0x2086080180000010400011400000400, 0x7fdfffe07fffffe0000000000000000,
    0x3bdffbe07fffffe0000000000000000, 0x37df3fe07fffffe0000000000000000, 0x7fdf77e07fffffe0000000000000000,
    0x77f7ffe07fffbfe0000000000000000, 0x3bdfabe03fdfbfe0000000000000000, 0x2bdd72e03fdfbfe0000000000000000,
    0x7fdb2b607fffffe0000000000000000, 0x7dffefe05fffffe0000000000000000, 0x228d32200fdfefe0000000000000000,
    0x2fcf3b602fdfbfe0000000000000000, 0x279f6fe03fdfbfe0000000000000000, 0x7fffffe03fffffe0000000000000000,
    0x77dbfbe07fdfffe0000000000000000, 0x7fdffdc03fdfffe0000000000000000, 0x3fcfbfe03fffffe0000000000000000,
    0x3c928a007f723e0000000000000000, 0x3fbf3fe03fffffe0000000000000000, 0x6ffff7e07fffffe0000000000000000,
    0x3edbb7e07fdfffe0000000000000000, 0x7dd7bde07fd7ffe0000000000000000, 0x62dba2a01fdfbfe0000000000000000,
    0x33d833203fdfbfe0000000000000000, 0x392232075df27e0000000000000000, 0x2ce22207bdf8ba0000000000000000,
    0xe0e73207bce3f20000000000000000, 0xffffffffb5d7eff0400b5bc00000400, 0x17c4076180920201400f19400000400,
    0x38000000f8000000fc00ffe600000400, 0x8000000580000000000630000000000, 0x1ffffffefffffffe3c00f7b400000400,
    0x20180001300000000c00520000000400, 0x7fffffe000000000000000000000000, 0x7fdfffe000000000000000000000000,
    0x7fffffe000000000000000000000000, 0x7fffffe000000000000000000000000, 0x7fffffe000000000000000000000000,
    0x7fffffe000000000000000000000000, 0x7fdf7fe000000000000000000000000, 0x7fffffe000000000000000000000000,
    0x7fffffe000000000000000000000000, 0x3bffffe000000000000000000000000, 0x3fdfffe000000000000000000000000,
    0x7fdfffe000000000000000000000000, 0x7fffffe000000000000000000000000, 0x7fdfffe000000000000000000000000,
    0x7fffffe000000000000000000000000, 0x7fffffe000000000000000000000000, 0x3bff33e000000000000000000000000,
    0x7fffbfe000000000000000000000000, 0x7fffffe000000000000000000000000, 0x7fdfffe000000000000000000000000,
    0x7fffffe000000000000000000000000, 0x7fffffe000000000000000000000000, 0x3fdfffe000000000000000000000000,
    0x73df37e000000000000000000000000, 0x7fdfffe000000000000000000000000, 0x7bdfbfe000000000000000000000000,
    0x39088a00100000010400a0b400000400, 0x10000000100000000000218400000400, 0x38080001b8000001fc00fbf600000400,
    0x40000000000000002000b00000000400, 0x0,
];

/// Bit `b - 0x80` of entry `a - 0xC0`: the first two bytes of a character are one token.
#[rustfmt::skip]
pub(super) const FIRST: [u64; 64] = [
    0x0, 0x0, 0xffffffff021c0001, 0xfffffffff7ffffff, 0x54a38a8aeb8bbbff,
    0xffaaab2fef0f295e, 0x1800302058000, 0x4000, 0xf000000, 0x2000000a9a0000,
    0x1800000000000000, 0x34000040, 0x20880000174f, 0x0, 0xfffef3fbffff1150,
    0x7fff, 0xffffffffffff41f6, 0xdffeffff, 0xacefea8b8e8d0000, 0x80830a03000000,
    0xff3e002000000000, 0xfffffffe687df7f1, 0xd3f10000000002ff, 0x1c07ffffff0000, 0x7fffffe88001000,
    0xfe011fff001fffff, 0x5c28ae00076ab7fb, 0x63ff0000003579cb, 0x0, 0x0,
    0x0, 0x0, 0x7ffffff000000000, 0xbf100000c0003f0f, 0x100077fe1fff,
    0x413f, 0xff00000000000000, 0xff9fffffffffffff, 0xfffff7ffffffffff, 0xffffffffffffffff,
    0xfffffffebfffffff, 0x7f0c7fffbfffffff, 0x1bbf000000000000, 0x3dd97fbf45bbd7f, 0xbf5f02df7ff02ffe,
    0x67f4dd7f, 0x1001000001, 0xff1010000000000f, 0xa0000000, 0x200000080004000,
    0x10000, 0x0, 0x0, 0x0, 0x0,
    0x0, 0x0, 0x0, 0x0, 0x0,
    0x0, 0x0, 0x0, 0x0,
];

/// Bit `b - 0x80` of entry `a - 0x80`: two later bytes of a character are one token.
#[rustfmt::skip]
pub(super) const LATER: [u64; 64] = [
    0x0, 0x0, 0x200100000000000, 0x2000000000000000, 0x0,
    0x0, 0x42000, 0x10000000001000, 0x100001000000, 0x10000000000000,
    0x0, 0x0, 0x80001, 0x1000000000000000, 0x0,
    0x0, 0x0, 0x100080010010000, 0x1000000000, 0x111010020000000,
    0x0, 0x1020, 0x0, 0x0, 0x30000,
    0x4, 0x1000, 0x1000000000110, 0x10000001000000, 0x0,
    0x2800, 0x8002000000002, 0x1, 0x1000000000000, 0x1000000000820,
    0x9000000000000000, 0x20000, 0x8000000000000000, 0x100000000004, 0x10000,
    0x0, 0x0, 0x2000000000000000, 0x1000000, 0x100000000000,
    0x310000, 0x1000000000, 0x0, 0x0, 0x1000000000000000,
    0x0, 0x0, 0x20001, 0x10000000, 0x1002,
    0x500010000000000, 0x0, 0x10, 0x1000080000010000, 0x0,
    0x0, 0x100008, 0x108000002000000, 0x100010101,
];
