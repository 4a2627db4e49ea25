#!/bin/bash
# A device's side of TPM enrolment with tpm2-tools and openssl alone.
#
#   tpm2_tools_device.sh keys EK           make the keys; EK is rsa, p256 or p384
#   tpm2_tools_device.sh activate EK       id_object + encrypted_secret -> secret
#   tpm2_tools_device.sh sign FILE         the identity's ES256 signature over FILE, r and s -> FILE.sig
#   tpm2_tools_device.sh request EPOCH     nonce [+ ticket, challenge_id, secret, pcrs] -> csr.der, request
#   tpm2_tools_device.sh online EK EPOCH URL [CURL OPTION...]
#                                          all of it against a server's first-contact listener [+ ticket]
#                                          -> enrolled, certificate.der
#
# Works in the current folder, on the TPM of TPM2TOOLS_TCTI. The endorsement key is at its persistent handle and its
# certificate chain in ek.chain.0.der, ek.chain.1.der, … Every file is binary, as it travels.
set -euo pipefail

OPERATIONAL='fixedtpm|fixedparent|sensitivedataorigin|userwithauth|sign'
PRIMARY_P256='ecc256:ecdsa-sha256:null'
IDENTITY_HANDLE=81020001
AK_HANDLE=81020002
OPERATIONAL_HANDLE=81020003
POLICY_C_SHA384=d6032ce61f2fb3c240eb3cf6a33237ef2b6a16f4293c22b455e261cffd217ad5b4947c2d73e63005eed2dc2b3593d165

quiet() { "$@" >/dev/null; tpm2_flushcontext --transient-object 2>/dev/null || true; }
hex() { od -An -tx1 -v "$@" | tr -d ' \n'; }
binary() { printf "$(sed 's/../\\x&/g')"; }
text_hex() { printf '%s' "$1" | hex; }

ek_handle() { case "$1" in rsa) echo 0x81010001;; p256) echo 0x8101000a;; p384) echo 0x81010016;; esac; }

# DER: one value with a tag, around its content in hexadecimal.
der() {
    local tag=$1 content=$2 size=$((${#2} / 2))
    if ((size < 128)); then printf '%s%02x%s' "$tag" "$size" "$content"
    elif ((size < 256)); then printf '%s81%02x%s' "$tag" "$size" "$content"
    else printf '%s82%04x%s' "$tag" "$size" "$content"; fi
}

# CBOR: the head of a major type, and byte and text strings, in hexadecimal.
head_of() {
    local major=$(($1 << 5)) value=$2
    if ((value < 24)); then printf '%02x' $((major | value))
    elif ((value < 256)); then printf '%02x%02x' $((major | 24)) "$value"
    elif ((value < 65536)); then printf '%02x%04x' $((major | 25)) "$value"
    else printf '%02x%08x' $((major | 26)) "$value"; fi
}
bytes_of() { head_of 2 $((${#1} / 2)); printf '%s' "$1"; }
text_of() { head_of 3 "${#1}"; text_hex "$1"; }

# The strings of a CBOR array, in hexadecimal, one a line; of integers nothing but an empty line.
strings_in() {
    local data=$1 at=2 first size
    while ((at < ${#data})); do
        first=$((16#${data:at:2})); at=$((at + 2)); size=$((first & 31))
        case $size in
            24) size=$((16#${data:at:2})); at=$((at + 2));;
            25) size=$((16#${data:at:4})); at=$((at + 4));;
            26) size=$((16#${data:at:8})); at=$((at + 8));;
        esac
        case $((first >> 5)) in
            2 | 3) printf '%s\n' "${data:at:size * 2}"; at=$((at + size * 2));;
            *) echo;;
        esac
    done
}

persist() {
    if tpm2_readpublic -c "0x$2" >/dev/null 2>&1; then quiet tpm2_evictcontrol -C o -c "0x$2"; fi
    quiet tpm2_evictcontrol -C o -c "$1" "0x$2"
}

# TPM2_Certify (part 3, section 18.2) of an object by the attestation key, as a command of its own: the tpm2_certify of
# tpm2-tools 5.4 takes no qualifying data. Arguments: handle, nonce, file for the TPMS_ATTEST, file for the signature.
certify() {
    local empty_auth=400000090000000000 body answer size
    body=00000148$1${AK_HANDLE}00000012$empty_auth$empty_auth$(printf '%04x' $((${#2} / 2)))${2}0010
    printf '8002%08x%s' $((${#body} / 2 + 6)) "$body" | binary >command
    tpm2_send -o answer command
    answer=$(hex answer)
    # Tag, size, response code, size of the parameters; then TPM2B_ATTEST and TPMT_SIGNATURE.
    [ "${answer:12:8}" = 00000000 ]
    local parameters=${answer:28:$((16#${answer:20:8} * 2))}
    size=$((16#${parameters:0:4} * 2))
    printf '%s' "${parameters:4:size}" | binary >"$3"
    printf '%s' "${parameters:4 + size}" | binary >"$4"
}

keys() {
    quiet tpm2_readpublic -c "$(ek_handle "$1")" -o ek.tpm2b
    # Identity and attestation key: primaries of the endorsement hierarchy, which tpm2_clear leaves as it is.
    quiet tpm2_createprimary -C e -g sha256 -G "$PRIMARY_P256" -a "$OPERATIONAL" -c identity.ctx
    quiet tpm2_createprimary -C e -g sha256 -G "$PRIMARY_P256" -a "$OPERATIONAL|restricted" -c ak.ctx
    quiet tpm2_createprimary -C o -g sha256 -G ecc256 -c storage.ctx
    quiet tpm2_create -C storage.ctx -g sha256 -G "$PRIMARY_P256" -a "$OPERATIONAL" -u operational.tpm2b -r operational.priv
    quiet tpm2_load -C storage.ctx -u operational.tpm2b -r operational.priv -c operational.ctx
    local key
    for key in identity ak operational; do
        quiet tpm2_readpublic -c $key.ctx -o $key.tpm2b
        quiet tpm2_readpublic -c $key.ctx -f der -o $key.spki
    done
    for key in ek identity ak operational; do tail -c +3 $key.tpm2b >$key.public; done
    persist identity.ctx $IDENTITY_HANDLE
    persist ak.ctx $AK_HANDLE
    persist operational.ctx $OPERATIONAL_HANDLE
    local id
    id=$(openssl dgst -sha256 -binary identity.spki | base32 | cut -c 1-20)
    printf 'AD%s' "$id" >device_id
}

activate() {
    { printf '\xba\xdc\xc0\xde\x00\x00\x00\x01'; cat id_object encrypted_secret; } >credential
    local hash=sha256
    if [ "$1" = p384 ]; then hash=sha384; fi
    quiet tpm2_startauthsession --policy-session -g $hash -S session.ctx
    quiet tpm2_policysecret -S session.ctx -c e -L policy_a
    if [ "$1" = p384 ]; then
        printf '%s' $POLICY_C_SHA384 | binary >policy_c
        quiet tpm2_policyor -S session.ctx -L policy_b "$hash:policy_a,policy_c"
    fi
    quiet tpm2_activatecredential -c ak.ctx -C "$(ek_handle "$1")" -i credential -o secret -P session:session.ctx
    tpm2_flushcontext session.ctx
}

# A TPM's signature is algorithm, hash, size, r, size, s; COSE's is r and s.
sign() {
    quiet tpm2_sign -c identity.ctx -g sha256 -f tss -o signature.tss "$1"
    local signature
    signature=$(hex signature.tss)
    printf '%s' "${signature:12:64}${signature:80:64}" | binary >"$1.sig"
}

# One attestation statement: SEQUENCE { OID 2.23.133.20.1, SEQUENCE of OCTET STRINGs of the given files }.
statement() {
    local content='' file
    for file in "$@"; do content+=$(der 04 "$(hex "$file")"); done
    der 30 "$(der 06 6781051401)$(der 30 "$content")"
}

csr() {
    local nonce statements spki subject info
    nonce=$(hex nonce)
    certify $OPERATIONAL_HANDLE "$nonce" certify.1 certify.1.sig
    certify $IDENTITY_HANDLE "$nonce" certify.2 certify.2.sig
    statements=$(statement certify.1 certify.1.sig operational.public)$(statement certify.2 certify.2.sig identity.public)
    if [ -s pcrs ]; then
        quiet tpm2_quote -c ak.ctx -g sha256 -q "$nonce" -l "$(cat pcrs)" -m quote -s quote.sig
        statements+=$(statement quote quote.sig)
    fi
    spki=$(hex operational.spki)
    subject=$(der 30 "$(der 31 "$(der 30 "$(der 06 550403)$(der 0c "$(hex device_id)")")")")
    local bundle attribute
    bundle=$(der 30 "$(der 30 "$statements")")
    attribute=$(der 30 "$(der 06 2a864886f70d010910023b)$(der 31 "$bundle")")
    info=$(der 30 "020100$subject$spki$(der a0 "$attribute")")
    printf '%s' "$info" | binary >csr.info
    quiet tpm2_sign -c operational.ctx -g sha256 -f plain -o csr.sig csr.info
    der 30 "$info$(der 30 "$(der 06 2a8648ce3d040302)")$(der 03 "00$(hex csr.sig)")" | binary >csr.der
    openssl req -inform DER -in csr.der -verify -noout 2>openssl.verify
}

request() {
    local proof=f6 ticket='' payload
    csr
    if [ -f secret ]; then proof=82$(bytes_of "$(hex challenge_id)")$(bytes_of "$(hex secret)"); fi
    if [ -f ticket ]; then ticket=$(hex ticket); fi
    payload=88$(text_of admittance/enrolment/1)$(bytes_of "$(hex nonce)")$(text_of "$(cat device_id)")
    payload+=$(head_of 0 "$1")$(bytes_of "$ticket")$(bytes_of "$(hex csr.der)")${proof}f6
    # COSE_Sign1 with ES256.
    printf '%s' "84$(text_of Signature1)43a1012640$(bytes_of "$payload")" | binary >to_be_signed
    sign to_be_signed
    printf '%s' "8443a10126a0$(bytes_of "$payload")$(bytes_of "$(hex to_be_signed.sig)")" | binary >request
}

post() {
    local url=$1 body=$2 answer=$3
    shift 3
    curl --silent --show-error --fail-with-body -H 'Content-Type: application/cbor' --data-binary "@$body" -o "$answer" "$@" "$url"
}

online() {
    local kind=$1 epoch=$2 url=$3 device chain='' count=0 certificate answer
    shift 3
    keys "$kind"
    device=$(text_of "$(cat device_id)")
    for certificate in ek.chain.*.der; do chain+=$(bytes_of "$(hex "$certificate")"); count=$((count + 1)); done
    printf '%s' "84$device$(bytes_of "$(hex ek.public)")$(head_of 4 $count)$chain$(bytes_of "$(hex ak.public)")" | binary >body
    post "$url/enrolment/tpm/credential" body answer "$@"
    mapfile -t answer < <(strings_in "$(hex answer)")
    printf '%s' "${answer[0]}" | binary >challenge_id
    printf '%s' "${answer[1]}" | binary >id_object
    printf '%s' "${answer[2]}" | binary >encrypted_secret
    printf '%s' "${answer[3]}" | binary >pcrs
    activate "$kind"
    printf '%s' "81$device" | binary >body
    post "$url/enrolment/nonce" body answer "$@"
    mapfile -t answer < <(strings_in "$(hex answer)")
    printf '%s' "${answer[0]}" | binary >nonce
    request "$epoch"
    post "$url/enrolment/requests" request enrolled "$@"
    # The chain's certificates, then two integers; the first certificate is for the operational key.
    mapfile -t answer < <(strings_in "$(hex enrolled)")
    printf '%s' "${answer[1]}" | binary >certificate.der
    openssl x509 -inform DER -in certificate.der -noout -pubkey | openssl pkey -pubin -outform DER | cmp - operational.spki
}

"$@"
