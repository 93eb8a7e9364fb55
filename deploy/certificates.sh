# Sourced by the scripts that start servers, in the folder of one: certificates for a test.

key() { openssl ecparam -name prime256v1 -genkey -noout -out "$1"; }

# certify NAME USE: NAME.pem with NAME-key.pem, signed by the folder's authority for `serverAuth` or `clientAuth`.
certify() {
    [[ ! -e $1.pem ]] || return 0
    key "$1-key.pem"
    openssl req -new -key "$1-key.pem" -subj "/CN=localhost" |
        openssl x509 -req -CA ca.crt -CAkey ca-key.pem -CAcreateserial -out "$1.pem" -days 30 -extfile <(
            echo "subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1"
            echo "extendedKeyUsage=$2"
        )
}

# Makes what is not there: an authority, `ca.crt` with `ca-key.pem`, and a certificate for the server.
certificates() {
    if [[ ! -e ca.crt ]]; then
        key ca-key.pem
        openssl req -x509 -key ca-key.pem -out ca.crt -days 30 -subj "/CN=Test authority"
    fi
    certify server serverAuth
}
