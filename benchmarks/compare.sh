#!/usr/bin/env bash
# Trains the four models and the ablations one after the other, each for the same steps on the same
# data, and measures each on the test people. Run it again, and it goes on where it stopped.
#
#   benchmarks/compare.sh DATA STEPS [FOLDER [FLAGS OF train.py…]]     then: make report
#
# DATA is a prepared set with labels; the flags go to every run. BATCH (default 64), DEVICE and
# PYTHON come from the environment.
set -euo pipefail
cd "$(dirname "$0")/.."
data=${1:?a prepared set} steps=${2:?steps of each run} folder=${3:-runs/compare}
flags=("${@:4}")
python=${PYTHON:-python3}

train() { # NAME FLAGS…
    local name=$1
    shift
    if [ -f "$folder/$name/done-$steps" ]; then
        echo "$name is done."
        return
    fi
    echo "== $name"
    "$python" train.py --data "$data" --out "$folder/$name" --steps "$steps" \
        --batch-size "${BATCH:-64}" --evaluate --judge "$folder/judge.safetensors" \
        ${DEVICE:+--device "$DEVICE"} "$@" ${flags[@]+"${flags[@]}"}
    touch "$folder/$name/done-$steps"
}

mkdir -p "$folder"
train autoencoder --model autoencoder
train vae --model vae
train gan --model gan
train vaegan --model vaegan
train vaegan-no-feature-loss --model vaegan --no-feature-loss
train vaegan-no-prior-samples --model vaegan --no-prior-samples
train vaegan-no-attributes --model vaegan --no-attributes
train vaegan-no-augment --model vaegan --no-augment
train larsen2016 --model vaegan --preset larsen2016
